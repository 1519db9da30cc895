"""Copies to or from Delta tables in a process of their own: `python -m tests.rights.tables`.

delta-rs holds Python's lock while it talks to a store, so the guard must run in another process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from copy_core.cli import main as copyjob
from copy_core.connectors.options import Connection, DeltaOptions, SqliteOptions
from tests.crash.places import TABLE, SqliteTable
from tests.matrix.cells import FIRST, run

_BY = {"partition_by": ["rev"], "filter": [{"column": "id", "op": "<=", "value": 5}]}


def copied(direction: str, folder: Path, lake: DeltaOptions) -> str:
    """Copies to or from a lake; "" when all went well.

    Args:
        direction: `writes`, in every mode, or `reads` what that wrote.
        folder: where to work; it is made.
        lake: the connection.
    """
    folder.mkdir()
    given = [direction, str(folder), lake.model_dump_json(exclude_defaults=True)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.rights.tables", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode else ""


def _writes(folder: Path, lake: Connection) -> str:
    rows = SqliteTable(folder)
    rows.insert(FIRST)

    def each(**table: Any) -> str:
        return run(folder, rows.options, lake, {"source": TABLE, "parts": 2, **table})

    wrong = each(destination="added") or each(destination="sorted", write="overwrite", **_BY)
    again = wrong or each(destination="sorted", write="overwrite_partitions", **_BY)
    return again or _doctor(folder, lake)  # which tries the other modes


def _reads(folder: Path, lake: Connection) -> str:
    to = SqliteOptions(type="sqlite", path=str(folder / "read.db"))
    by_version = {"mode": "incremental", "incremental_column": "_commit_version"}
    wrong = run(folder, lake, to, {"source": "sorted", "parts": 2})
    return wrong or run(folder, lake, to, {"source": "added", **by_version})


def _doctor(folder: Path, lake: Connection) -> str:
    file = folder / "connections.json"
    given = lake.model_dump(mode="json", exclude_defaults=True)
    file.write_text(json.dumps({"connections": {"it": given}}), "utf-8")
    try:
        copyjob(["doctor", "it", "--connections", str(file), "--write"])
    except SystemExit as e:
        return f"the doctor said {e.code}" if e.code else ""
    return ""


if __name__ == "__main__":
    direction, folder, options = sys.argv[1:]
    lake: Connection = TypeAdapter[Any](Connection).validate_json(options)
    sys.exit({"writes": _writes, "reads": _reads}[direction](Path(folder), lake) or 0)

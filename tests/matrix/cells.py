"""One cell of the matrix: a real copy in one mode, and what its destination holds afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from copy_core.connectors.options import Connection
from copy_core.context import Context
from copy_core.jobfile import load
from copy_core.runners.local import LocalRunner
from copy_core.state.registry import open_state
from tests.crash import places
from tests.crash.places import TABLE, Row
from tests.matrix.systems import System

FIRST: list[Row] = [(n, n, n) for n in range(1, 501)]
LATER: list[Row] = [(n, n, n) for n in range(501, 701)]
CHANGED: Row = (7, 1_000, 1_000)

NOT_OFFERED = "mode-not-offered"


class Cell(NamedTuple):
    """What a copy came to.

    Attributes:
        outcome: "ok", "not offered", or what was wrong.
        rows: how many rows were compared.
    """

    outcome: str
    rows: int = 0


def run(folder: Path, source: Connection, target: Connection, table: dict[str, Any]) -> str:
    """Runs a job of one table; "" when it succeeded, else the code of its error.

    Args:
        folder: where the job file and the state are, the same for every run of a job.
        source: where it reads.
        target: where it writes.
        table: the table as in a job file.
    """
    connections = {"from": source, "to": target}
    definition = {
        "name": "matrix",
        "source": "from",
        "destination": "to",
        "tables": [table],
        "connections": {
            name: each.model_dump(mode="json", exclude_defaults=True)
            for name, each in connections.items()
        },
    }
    file = folder / "job.json"
    file.write_text(json.dumps(definition), "utf-8")
    loaded = load(file)
    with open_state(str(folder / "state.db")) as store:
        summary = LocalRunner(Context(loaded.job, loaded.connections, store)).run()
    if summary.status == "succeeded":
        return ""
    errors = [summary.error, *(each.error for each in summary.tables)]
    return next(str(error["code"]) for error in errors if error)


class _Copy:
    """A job between two new places."""

    def __init__(self, folder: Path, source: System, target: System, **table: Any) -> None:
        self.source = places.source(source.kind("source"), folder)
        self._target = places.destination(target.kind("target"), folder)
        self._folder = folder
        self._table = {"source": TABLE, "parts": 2, **table}

    def check(self, expected: Sequence[Row]) -> str:
        """Runs the job; "" when the destination then holds just these rows."""
        if error := run(self._folder, self.source.options, self._target, self._table):
            return error
        found = places.rows(self._target)
        if found == sorted(expected, key=lambda row: row[2]):
            return ""
        lost, more = len(set(expected) - set(found)), len(found) - len(set(found))
        return f"{len(found)} rows for {len(expected)}: {lost} lost, {more} doubled"


def _append(copy: _Copy) -> Cell:
    copy.source.insert(FIRST)
    return Cell(copy.check(FIRST), len(FIRST))


def _overwrite(copy: _Copy) -> Cell:
    copy.source.insert(FIRST)
    wrong = copy.check(FIRST)
    copy.source.insert(LATER)
    return Cell(wrong or copy.check(FIRST + LATER), len(FIRST + LATER))


def _increments(copy: _Copy) -> Cell:
    copy.source.insert(FIRST)
    wrong = copy.check(FIRST)
    copy.source.insert(LATER)
    wrong = wrong or copy.check(FIRST + LATER) or copy.check(FIRST + LATER)
    return Cell(wrong, len(FIRST + LATER))


def _changes(copy: _Copy) -> Cell:
    copy.source.insert(FIRST)
    wrong = copy.check(FIRST)
    copy.source.insert(LATER)
    expected = FIRST + LATER
    if copy.source.updates:
        copy.source.update(CHANGED)
        expected = [row for row in expected if row[0] != CHANGED[0]] + [CHANGED]
    return Cell(wrong or copy.check(expected) or copy.check(expected), len(expected))


_WATCHED = {"mode": "incremental", "incremental_column": "v"}
_KEYED = {"write": "upsert", "keys": ["id"]}

MODES: dict[str, tuple[dict[str, Any], Callable[[_Copy], Cell]]] = {
    "full append": ({"write": "append"}, _append),
    "full overwrite": ({"write": "overwrite"}, _overwrite),
    "full upsert": (_KEYED, _changes),
    "incremental append": ({**_WATCHED, "write": "append"}, _increments),
    "incremental upsert": ({**_WATCHED, **_KEYED}, _changes),
}


def cell(folder: Path, source: System, target: System, mode: str) -> Cell:
    """Copies in a mode and compares.

    Args:
        folder: an empty folder for the job and what lies on this machine.
        source: where the rows come from.
        target: where they go.
        mode: one of `MODES`.
    """
    table, play = MODES[mode]
    found = play(_Copy(folder, source, target, **table))
    if found.outcome == NOT_OFFERED:
        return Cell("not offered")
    return Cell(found.outcome or "ok", found.rows)

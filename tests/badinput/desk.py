"""One job between two places, run by the command line, and what must hold when it is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from copy_core.cli import main
from tests.badinput.places import PLACES, TABLE, Row, Sqlite, sales


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    exit: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error of the run, or of its one table."""
        error: dict[str, Any] = self.summary["error"] or self.summary["tables"][0]["error"]
        return error


class Desk:
    """A folder with a job file `job.json`.

    Attributes:
        settings: what the job file says for all tables.
        entry: what it says for its one table.
    """

    def __init__(self, folder: Path, source: str = "sqlite", destination: str = "sqlite") -> None:
        self.folder = folder
        self.source = PLACES[source](folder / "from")
        self.destination = PLACES[destination](folder / "to")
        self.file = folder / "job.json"
        self.state = folder / ".copyjob" / "state.db"
        self.settings: dict[str, Any] = {"mode": "incremental", "incremental_column": "v"}
        self.entry: dict[str, Any] = {"source": TABLE}
        self.connections: dict[str, Any] = {
            "from": self.source.connection(),
            "to": self.destination.connection(),
        }
        if isinstance(self.destination, Sqlite):
            self.destination.run("PRAGMA user_version = 1")
        else:
            self.destination.path.mkdir()

    def write(self) -> None:
        job = {"name": "job", "source": "from", "destination": "to", "limits": {"retries": 0}}
        job |= self.settings | {"tables": [self.entry], "connections": self.connections}
        self.file.write_text(json.dumps(job, indent=1))

    def call(self, *args: str) -> Ran:
        """Any command, in this process."""
        done = CliRunner().invoke(main, list(args), catch_exceptions=False)
        return Ran(done.exit_code, done.stdout, done.stderr)

    def run(self, *args: str) -> Ran:
        self.write()
        return self.call("run", str(self.file), "--json", *args)

    def run_apart(self, *args: str, **how: Any) -> Ran:
        """A run in a process of its own."""
        return self.apart("run", str(self.file), "--json", *args, **how)

    def apart(self, *args: str, env: Mapping[str, str] | None = None, **how: Any) -> Ran:
        """Any command, in a process of its own."""
        self.write()
        done = subprocess.run(
            [sys.executable, "-m", "copy_core.cli", *args],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **how,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def load(self) -> None:
        """Copies three rows, and puts a fourth at the source, which waits for the next run."""
        self.source.add(sales(1, 2, 3))
        ran = self.run()
        assert ran.exit == 0, ran
        assert len(self.arrived()) == 3
        self.source.add(sales(4))

    def arrived(self) -> list[Row]:
        return self.destination.rows()

    def watermark(self) -> tuple[int, str | None]:
        """How many commits the state counts, and how far the table is."""
        self.write()
        ran = self.call("status", str(self.file), "--json")
        assert ran.exit == 0, ran
        (table,) = json.loads(ran.out)["tables"]
        return table["sequence"], table["watermark"]

    def refuses(self, code: str, says: str = "", **at: str) -> Ran:
        """Runs, and is refused in so many words; rows and watermark stay as they are."""
        before = self.arrived(), self.watermark()
        ran = self.run()
        told(ran, code, says, **at)
        assert (self.arrived(), self.watermark()) == before
        return ran

    def recovers(self, *columns: str) -> None:
        """Runs, and everything is there once; runs again, and nothing comes twice."""
        wanted = self.source.rows(*columns)
        assert wanted
        for _ in range(2):
            ran = self.run()
            assert ran.exit == 0, ran
            assert self.destination.rows(*columns) == wanted


def told(ran: Ran, code: str, says: str = "", **at: str) -> None:
    """Asserts that a run failed and told people what happened, where, and what to change."""
    assert ran.exit == 1, ran
    error = ran.error
    assert error["code"] == code, error
    for kind, name in at.items():
        assert name in error["where"].get(kind, ""), error
    assert says in f"{error['message']}. {error['fix']}", error
    assert error["fix"], error
    shown = " ".join(ran.err.split())
    for part in (error["message"], error["fix"], *error["where"].values()):
        assert " ".join(part.split()) in shown
    assert not re.search(r"Traceback|unexpected \w+Error", ran.err), ran.err


def between(*pairs: tuple[str, str]) -> pytest.MarkDecorator:
    """Runs a test with a desk between each of these places."""
    return pytest.mark.parametrize("desk", pairs, indirect=True, ids="-to-".join)


def from_each(*sources: str) -> pytest.MarkDecorator:
    """Runs a test with each of these as the source; all when none is named."""
    return between(*((source, "sqlite") for source in sources or PLACES))


def to_each(*destinations: str) -> pytest.MarkDecorator:
    """Runs a test with each of these as the destination; all when none is named."""
    return between(*(("sqlite", destination) for destination in destinations or PLACES))


@contextmanager
def mounted(folder: Path, *what: str | Path) -> Iterator[None]:
    """Mounts something at a folder, for a while."""
    subprocess.run(["mount", *what, folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@cache
def can_mount() -> bool:
    """Whether this user may mount a disk; a container's root often may not."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder), "-t", "tmpfs", "tmpfs"):
                return True
        except subprocess.CalledProcessError:
            return False


_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds a SQLite file for a while, from another process: locks of one's own do not bar one."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.communicate()

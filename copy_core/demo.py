"""The demo: a database is copied to a lake, changes, a run is killed, and every figure agrees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil

from copy_core.cli.text import Column, Grid, count, seconds
from copy_core.demo_check import Figures, at_source, columns, in_lake
from copy_core.demo_data import KEYS, SourceSystem
from copy_core.errors import ConfigError, TerminalError
from copy_core.service.settings import STATE
from copy_core.state import tables
from copy_core.state.sqlite import SqliteStateStore

_JOB = """\
# What to copy: a database of flights into a lake of Delta tables.
# `copyjob plan job.yaml` shows what a run would do now; `copyjob run job.yaml` does it.
name: nycflights
source: database
destination: lake

tables:
  # Small tables are copied whole by each run. Readers see the old rows or the new, never neither.
  - {source: airlines, write: overwrite}
  - {source: airports, write: overwrite}
  - {source: planes, write: overwrite}

  # Of these, a run copies the rows whose updated_at grew since the last run. A row that was
  # corrected replaces the old one: rows are told apart by the primary key.
  - source: flights
    mode: incremental
    incremental_column: updated_at
    write: upsert
    parts: 8
  - source: weather
    mode: incremental
    incremental_column: updated_at
    write: upsert
"""
_CONNECTIONS = """\
# Where to copy from and to. Secrets, where a connection needs any, are written ${env:NAME}.
connections:
  database: {type: sqlite, path: source.db}
  lake: {type: delta, root: lake}
"""
_JOB_NAME = "nycflights"
_CORRECTIONS = 500
_ATTEMPTS = 5
_LOOK_EVERY_S = 0.002
_WIDTH = 80


def show(folder: Path | None) -> int:
    """Plays the demo in a folder; returns the exit code: 1 when a figure differs.

    Args:
        folder: an empty or a new one; a temporary one when None.

    Raises:
        ConfigError: the folder is in use, or the rows are not installed.
        TerminalError: a run failed that must not, or none could be killed half-way.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            "the folder for the demo is not empty", fix="Name a new one", file=str(folder)
        )
    began = time.monotonic()
    demo = Demo(folder or Path(tempfile.mkdtemp(prefix="copyjob-demo-")))
    demo.first_load()
    demo.changes()
    demo.killed()
    demo.repaired()
    return demo.end(time.monotonic() - began)


class Demo:
    """The demo's folder and what was found in it so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._job, self._lake = self._folder / "job.yaml", self._folder / "lake"
        self._source = SourceSystem(self._folder / "source.db")
        self._command = [sys.executable, "-m", "copy_core.cli", "run", str(self._job)]
        self._differ = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        self._job.write_text(_JOB, encoding="utf-8")
        (self._folder / "connections.yaml").write_text(_CONNECTIONS, encoding="utf-8")

    def first_load(self) -> None:
        _head(
            "1. The first load",
            "A database holds the flights that left New York from January to September",
            "2013, and their airlines, airports, planes and weather: real rows. All of it",
            "goes to a lake of Delta tables in a folder.",
        )
        self._source.create()
        self._source.arrive(range(1, 10))
        self._run()
        self.compare()

    def changes(self) -> None:
        arrived, corrected = self._source.arrive([10]), self._source.correct(_CORRECTIONS)
        _head(
            "2. Rows arrive, rows change",
            f"October brings {arrived:,} new flights, and {corrected} flights of September are",
            f"corrected. The next run reads just these {arrived + corrected:,} flights: it starts",
            "where the last one ended. The corrected ones replace their old rows.",
        )
        self._run()
        self.compare()

    def killed(self) -> None:
        self._source.arrive([11, 12])
        _head(
            "3. A run is killed half-way",
            "November and December arrive. This run gets no chance to tidy up: its process",
            "is killed by SIGKILL while some parts of the flights are copied, others not.",
        )
        for attempt in range(_ATTEMPTS):
            before = {"flights": self._in_lake("flights")}
            died = self._killed_run()
            if died:
                break
            # The run was over too soon: December is changed once more, for another one.
            self._source.touch(12, f"2014-01-0{2 + attempt}T12:00:00Z")
        else:
            raise TerminalError("no run could be killed half-way", fix="Run the demo again")
        _say(
            "",
            f"Killed: {died[0]} of the {died[1]} parts of the flights were copied, and none of"
            " them published.",
            "Readers of the lake see nothing of it: the flights are as they were before.",
            "",
        )
        self._show(before, "Rows before the run", "Now")

    def repaired(self) -> None:
        _head(
            "4. The next run repairs it",
            "It sees that the process is dead, takes the job over, copies the parts that are",
            "missing, publishes all parts in one commit, and goes on. Nothing is lost, and",
            "nothing is there twice.",
        )
        self._run()
        _say("It read fewer flights than it wrote: the run that died had copied the others.", "")
        self.compare()

    def end(self, took: float) -> int:
        """Says what came of it all; returns the exit code."""
        if self._differ:
            _head("Something is wrong")
            click.secho(f"{self._differ} tables differ, see above. Please report this.", fg="red")
        else:
            _head(f"Every figure agrees ({seconds(took)})")
        _say(
            "It is all in a folder: the job file to look at, the database, the lake.",
            "",
            f"  cd {self._folder}",
            "  cat job.yaml",
            f"  {_command()} status job.yaml",
            f"  {_command()} plan job.yaml",
        )
        return 1 if self._differ else 0

    def _run(self) -> None:
        """Runs the job as a user would; what it prints goes where the demo's output goes."""
        click.secho("$ copyjob run job.yaml", bold=True)
        sys.stdout.flush()
        done = subprocess.run(self._command, env=_environment(), check=False)  # noqa: S603 - ours
        if done.returncode:
            raise TerminalError(
                f"the run ended with exit code {done.returncode}", file=str(self._job)
            )
        click.echo()

    def _killed_run(self) -> tuple[int, int] | None:
        """Runs the job and kills it half-way.

        The process is stopped before it is looked at, so that what is seen still holds when it
        dies. Nothing in it knows of this.

        Returns:
            How many parts were copied, and of how many; None when the run was over too soon.
        """
        click.secho("$ copyjob run job.yaml", bold=True)
        sys.stdout.flush()
        with (
            SqliteStateStore(self._folder / ".copyjob" / "state.db") as store,
            subprocess.Popen(self._command, env=_environment(), stdout=subprocess.PIPE) as child,  # noqa: S603 - ours
        ):
            assert child.stdout is not None  # noqa: S101 - a pipe was asked for
            process = psutil.Process(child.pid)
            died = None
            while died is None and child.poll() is None:
                if _half_way(store):
                    _hold(process)
                    died = _half_way(store)
                    if died:
                        child.kill()
                    else:
                        process.resume()
                time.sleep(_LOOK_EVERY_S)
            sys.stdout.write(child.stdout.read().decode(errors="replace"))
        return died

    def compare(self) -> None:
        """Compares every table of the two ends."""
        source = {table: at_source(self._source.path, table) for table in KEYS}
        self._show(source, "Rows at source", "In the lake")

    def _show(self, expected: dict[str, Figures], left: str, right: str) -> None:
        """Compares tables of the lake with what they should come to."""
        heads = Column("Table"), Column("Agrees"), Column(left, right=True)
        grid = Grid((*heads, Column(right, right=True), Column("Counts and sums, by column")))
        for table, wanted in expected.items():
            found = self._in_lake(table)
            same = found == wanted
            equal = sum(a == b for a, b in zip(found.columns, wanted.columns, strict=True))
            grid.add(
                table,
                "✓ yes" if same else "✗ NO",
                count(wanted.rows),
                count(found.rows),
                f"{equal} of {len(wanted.columns)} equal",
                fg="green" if same else "red",
            )
            self._differ += not same
        for line in grid.lines(None):
            click.echo(line)

    def _in_lake(self, table: str) -> Figures:
        return in_lake(self._lake, table, columns(self._source.path, table))


def _half_way(store: SqliteStateStore) -> tuple[int, int] | None:
    """How many parts of the flights are copied, and of how many, if that is in the middle."""
    pending = tables.load(store, _JOB_NAME, "flights")[0].pending
    if pending is None:
        return None
    parts = tables.parts(store, _JOB_NAME, "flights", pending.plan_id)
    staged = sum(part.staged is not None for part in parts)
    return (staged, len(parts)) if 1 < staged < len(parts) else None


def _hold(process: psutil.Process) -> None:
    """Stops a process, and waits until it stands still or has ended."""
    process.suspend()
    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        time.sleep(_LOOK_EVERY_S)


def _command() -> str:
    """How the user can call copyjob from any folder."""
    called = Path(sys.argv[0])
    if shutil.which("copyjob"):
        return "copyjob"
    if called.stem == "copyjob":
        return str(called.resolve())
    return f"{sys.executable} -m copy_core.cli"


def _environment() -> dict[str, str]:
    """The user's environment, but with the state beside the job."""
    return {name: value for name, value in os.environ.items() if name != STATE.name}


def _head(title: str, *lines: str) -> None:
    click.echo()
    click.secho(f"── {title} {'─' * max(0, _WIDTH - len(title) - 4)}", fg="cyan", bold=True)
    _say(*lines, "")


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line)

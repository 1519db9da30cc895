"""Shows a run while it goes on: live in a terminal, in plain lines where there is none."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import click

from copy_core.cli import text
from copy_core.cli.board import Board

if TYPE_CHECKING:
    from copy_core.context import Progress
    from copy_core.model import TableResult

_SAY_EVERY_S = 15.0
STOPPING = "stopping after the batches at hand; once more kills at once"


class Silent(AbstractContextManager["Silent"]):
    """Shows nothing; what every display is told."""

    def observe(self, progress: Progress) -> None:
        """A step tells how far it is; from any thread."""

    def at_step(self, table: str, step: str) -> None:
        """A table begins a step; from any thread."""

    def ended(self, result: TableResult) -> None:
        """A table is done; from any thread."""

    def stopping(self) -> None:
        """The run was asked to stop; from a signal handler."""
        _tell_in_signal_handler(STOPPING)

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


class Plain(Silent):
    """A line for what is worth one, for logs.

    Args:
        tables: the tables of the run.
        err: whether to write to stderr.
    """

    def __init__(self, tables: list[str], *, err: bool = False) -> None:
        self._board, self._err = Board(tables), err
        self._said: dict[str, float] = {}

    def observe(self, progress: Progress) -> None:
        self._board.observe(progress)
        table, now = progress.table, time.monotonic()
        line = self._board.line(table)
        if progress.event == "planned":
            self._said[table] = now
            expected = f"new {line.noun}s"
            if line.expected:
                expected = f"about {text.plural(line.expected, line.noun)}"
            self._say(f"{table}: copying {expected}")
        elif progress.event == "batch" and now - self._said.get(table, now) > _SAY_EVERY_S:
            self._said[table] = now
            share = line.share()
            of = f" ({share:.0%})" if share is not None else ""
            so_far = text.plural(line.count, line.noun)
            rate = text.rate(line.rate(now))
            self._say(f"{table}: {so_far} so far{of}, {rate} {line.noun}s/s")

    def at_step(self, table: str, step: str) -> None:
        self._board.at_step(table, step, time.monotonic())
        if step == "copy_part":
            self._said.setdefault(table, time.monotonic())

    def ended(self, result: TableResult) -> None:
        self._board.ended(result, time.monotonic())
        what = {
            "unchanged": "nothing new",
            "cancelled": "stopped",
            "failed": f"failed: {(result.error or {}).get('message', 'unknown')}",
        }.get(result.status)
        if what is None:
            took = text.seconds(result.duration_s)
            what = f"copied {text.amount(result.rows_written, result.files_written)} in {took}"
        self._say(f"{result.source}: {what}")

    def _say(self, what: str) -> None:
        click.echo(f"{datetime.now():%H:%M:%S} {what}", err=self._err)  # noqa: DTZ005 - for people


class Live(Silent):
    """A board that redraws itself in place, and vanishes when the run ends.

    Args:
        tables: the tables of the run.
        err: whether to draw on stderr.
    """

    def __init__(self, tables: list[str], *, err: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._board, self._held = Board(tables), ExitStack()
        self._console = Console(stderr=err, highlight=False)
        self._live = RichLive(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=10,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._held.enter_context(self._live)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def observe(self, progress: Progress) -> None:
        self._board.observe(progress)

    def at_step(self, table: str, step: str) -> None:
        self._board.at_step(table, step, time.monotonic())

    def ended(self, result: TableResult) -> None:
        self._board.ended(result, time.monotonic())

    def stopping(self) -> None:
        self._board.stopping = True
        # A second signal kills at once: by then the cursor must be back.
        os.write(self._console.file.fileno(), b"\x1b[?25h")

    def _draw(self) -> Any:
        from rich.text import Text

        width, height = self._console.size
        lines = self._board.lines(width - 1, height - 1, time.monotonic())
        return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


def display(tables: list[str], *, quiet: bool, as_json: bool) -> Silent:
    """The display for where the output goes; beside JSON on stdout, only for an onlooker."""
    stream = sys.stderr if as_json else sys.stdout
    if quiet or (as_json and not stream.isatty()):
        return Silent()
    if stream.isatty() and shutil.get_terminal_size().columns >= 60:
        return Live(tables, err=as_json)
    return Plain(tables, err=as_json)


def _tell_in_signal_handler(what: str) -> None:
    """Writes past Python's buffers, whose locks the interrupted code may hold."""
    os.write(2, f"{what}\n".encode())

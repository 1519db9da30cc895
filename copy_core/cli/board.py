"""How far each table of a run is, and how that looks in a terminal. Pure but for its lock."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import click

from copy_core.cli import text

if TYPE_CHECKING:
    from copy_core.context import Progress
    from copy_core.model import TableResult

_BAR = 14
_NARROW = 96
_STATES = {
    "plan": "planning",
    "copy_part": "copying",
    "publish": "publishing",
    "commit": "committing",
}
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "copied": ("✓", {"fg": "green"}),
    "unchanged": ("=", {"dim": True}),
    "failed": ("✗", {"fg": "red"}),
    "cancelled": ("■", {"fg": "yellow"}),
}
"""The mark and the style of what became of a table."""


@dataclass
class Line:
    """One table.

    Attributes:
        name: the table.
        state: `waiting`, the step it is at, or what became of it.
        noun: what is counted: `row`, or `file` where whole objects are copied.
        count: how many went through so far.
        bytes: their size in memory.
        expected: how many there will be, roughly; 0 when nobody knows.
        started: when its first step began, by the clock of whoever tells; None before.
        ended: when it ended; None before.
    """

    name: str
    state: str = "waiting"
    noun: str = "row"
    count: int = 0
    bytes: int = 0
    expected: int = 0
    started: float | None = None
    ended: float | None = None

    def rate(self, now: float) -> float:
        """How many went through per second so far."""
        took = (self.ended or now) - (now if self.started is None else self.started)
        return self.count / took if took > 0 else 0.0

    def share(self) -> float | None:
        """How much of the table is copied, below 1 until it ended; None when nobody knows.

        The expected count is an estimate, and a part that is tried again counts twice.
        """
        return min(self.count / self.expected, 0.99) if self.expected else None

    def left(self, now: float) -> float | None:
        """Seconds until all went through; None when nobody knows."""
        rate = self.rate(now)
        if self.state != "copying" or not self.expected or not rate:
            return None
        return max(self.expected - self.count, 0) / rate


class Board:
    """Every table of a run. Told from any thread, looked at from any other."""

    def __init__(self, tables: list[str]) -> None:
        self._lock = RLock()
        self._lines = {name: Line(name) for name in tables}
        self.stopping = False

    def at_step(self, table: str, step: str, now: float) -> None:
        """A table begins a step."""
        with self._lock:
            line = self._lines[table]
            line.state = _STATES.get(step, step)
            line.started = now if line.started is None else line.started

    def observe(self, progress: Progress) -> None:
        """A step tells how far it is."""
        with self._lock:
            line = self._lines[progress.table]
            line.noun = "file" if progress.files else line.noun
            if progress.event == "planned":
                line.expected = progress.rows + progress.files
            elif progress.event == "batch":
                line.count += progress.rows + progress.files
                line.bytes += progress.bytes

    def ended(self, result: TableResult, now: float) -> None:
        """A table is done, with whatever result."""
        with self._lock:
            line = self._lines[result.source]
            line.state, line.ended = result.status, now
            line.count, line.bytes = result.rows_read, result.bytes_read
            if line.noun == "file":
                line.count = result.files_read

    def line(self, table: str) -> Line:
        """One table as it stands."""
        return self._lines[table]

    def lines(self, width: int, height: int, now: float) -> list[str]:
        """The board in at most `height` lines of at most `width` cells: tables that are under way
        first, then those that ended last, then those that wait; a line that sums up at the end.
        """
        with self._lock:
            all_lines = list(self._lines.values())
            shown = _most_telling(all_lines, max(height - 2, 1))
            names = max([10, *(text.cells(line.name) for line in shown)])
            names = min(names, width - (53 if width < _NARROW else 77))
            return [*(_draw(line, names, width, now) for line in shown), self._sum(now)]

    def _sum(self, now: float) -> str:
        lines = self._lines.values()
        ended = [line for line in lines if line.ended is not None]
        failed = sum(line.state == "failed" for line in ended)
        rows = sum(line.count for line in lines if line.noun == "row")
        files = sum(line.count for line in lines if line.noun == "file")
        since = min((line.started for line in lines if line.started is not None), default=now)
        says = [f"{len(ended)} of {text.plural(len(lines), 'table')}"]
        says += [click.style(f"{failed} failed", fg="red")] if failed else []
        says += [text.plural(rows, "row")] if rows else []
        says += [text.plural(files, "file")] if files else []
        if rows and now > since:
            says += [f"{text.rate(rows / (now - since))} rows/s"]
        says += [text.seconds(now - since)]
        if self.stopping:
            says += [click.style("stopping", fg="yellow")]
        return " · ".join(says)


def _most_telling(lines: list[Line], room: int) -> list[Line]:
    """As many lines as there is room for, in the order of the job."""

    def rank(line: Line) -> tuple[int, float]:
        if line.ended is not None:
            return 1, -line.ended
        return (2, 0.0) if line.started is None else (0, line.started)

    kept = {line.name for line in sorted(lines, key=rank)[:room]}
    return [line for line in lines if line.name in kept]


def _draw(line: Line, names: int, width: int, now: float) -> str:
    name = text.shorten(line.name, names)
    name += " " * (names - text.cells(name))
    mark, style = LOOKS.get(line.state, (" ", {"dim": True} if line.started is None else {}))
    says = [name, click.style(f"{mark} {line.state:10}", **style)]
    if width >= _NARROW:
        says.append(_bar(line))
    rows = "" if line.started is None else text.count(line.count)
    share = line.share() if line.ended is None else None
    says.append(f"{rows:>13}")
    says.append(f"{share:4.0%}" if share is not None else "    ")
    if width >= _NARROW:
        size = text.size(line.bytes) if line.bytes else ""
        says.append(f"{size:>8}")
    left = line.left(now)
    speed = f"{text.rate(line.rate(now))}/s" if line.count else ""
    says.append(f"{speed:>8}")
    line_so_far = " ".join(says).rstrip()
    eta = f" {text.seconds(left)} left" if left is not None else ""
    if text.cells(click.unstyle(line_so_far)) + len(eta) > width:
        return line_so_far
    return line_so_far + click.style(eta, dim=True)


def _bar(line: Line) -> str:
    share = 1.0 if line.state == "copied" else (line.share() if line.ended is None else None)
    if share is None:
        return " " * _BAR
    full = round(share * _BAR)
    look = "green" if line.state == "copied" else "cyan"
    return click.style("━" * full, fg=look) + click.style("─" * (_BAR - full), dim=True)

"""Numbers, names and tables as people read them in a terminal. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

NOTHING = "–"  # noqa: RUF001 - a dash where a number would stand
_GAP = "  "
# A name is never cut shorter than this; columns go first.
_LEAST = 18


def count(number: int) -> str:
    """A whole number with its thousands apart; a dash for none."""
    return f"{number:,}" if number else NOTHING


def plural(number: int, noun: str) -> str:
    """A number and what it counts: `1 table`, `5 tables`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def amount(rows: int, files: int) -> str:
    """What was copied: rows, or files where there were no rows in them to count."""
    return plural(files, "file") if files and not rows else plural(rows, "row")


def size(number: float) -> str:
    """Bytes in a decimal unit, to three digits or so."""
    return _scaled(number, (" B", " kB", " MB", " GB", " TB"))


def rate(number: float) -> str:
    """Rows per second, to three digits or so."""
    return _scaled(number, ("", "k", "M", "G"))


def _scaled(number: float, units: Sequence[str]) -> str:
    if not number:
        return NOTHING
    step = 0
    while number >= 999.5 and step < len(units) - 1:
        number, step = number / 1000, step + 1
    digits = 1 if step and number < 99.95 else 0
    return f"{number:,.{digits}f}{units[step]}"


def seconds(number: float) -> str:
    """A duration: `0.4 s`, `12 s`, `3m 05s`, `2h 10m`."""
    if number < 9.95:
        return f"{number:.1f} s"
    if number < 99.5:
        return f"{number:.0f} s"
    minutes, left = divmod(round(number), 60)
    if minutes < 100:
        return f"{minutes}m {left:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def when(iso: str) -> str:
    """An ISO time as a person reads it, to the second, in UTC as it was recorded."""
    return iso[:19].replace("T", " ")


def bounds(low: str | None, high: str | None) -> str:
    """A window in words; "" when it has no bounds."""
    if high is None:
        return ""
    return f"up to {high}" if low is None else f"above {low} up to {high}"


def cells(text: str) -> int:
    """How many cells of a terminal `text` fills."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut in its middle: names differ at their ends."""
    if cells(text) <= width:
        return text
    head, tail = (width - 1) // 2, width - 1 - (width - 1) // 2
    start, end = len(text), 0
    while cells(text[:start]) > head:
        start -= 1
    while cells(text[end:]) > tail:
        end += 1
    return f"{text[:start]}…{text[end:]}"


class Column(NamedTuple):
    """A column of a `Grid`.

    Attributes:
        head: what stands above it.
        right: whether it is aligned to the right.
        drop: columns with a higher number go first where the terminal is narrow; 0 stays.
    """

    head: str
    right: bool = False
    drop: int = 0


class Row(NamedTuple):
    """A row of a `Grid`; attributes as `Grid.add` takes them."""

    texts: tuple[str, ...]
    below: Sequence[str]
    style: dict[str, Any]


@dataclass
class Grid:
    """Rows of text under heads; the first column gives way where the terminal is narrow."""

    columns: Sequence[Column]
    rows: list[Row] = field(default_factory=list)

    def add(self, *texts: str, below: Sequence[str] = (), **style: Any) -> None:
        """Adds a row.

        Args:
            texts: its cells.
            below: lines of their own under it.
            style: how its second cell looks, as `click.style` takes it.
        """
        self.rows.append(Row(texts, below, style))

    def width(self) -> int:
        """The cells of a line when nothing is cut or left out."""
        return sum(self._widths()) + len(_GAP) * (len(self.columns) - 1)

    def lines(self, width: int | None) -> Iterable[str]:
        """The grid in lines of at most `width` cells, or as wide as it is."""
        kept, widths = self._fit(width)
        heads = [column.head for column in self.columns]
        yield click.style(self._line(heads, kept, widths, {}), dim=True)
        for texts, below, style in self.rows:
            yield self._line(texts, kept, widths, style)
            for line in below:
                yield click.style(
                    f"  {line if width is None else shorten(line, width - 2)}", dim=True
                )

    def _fit(self, width: int | None) -> tuple[list[int], list[int]]:
        """Which columns stay, and how wide each column is."""
        widths = self._widths()
        kept = list(range(len(widths)))
        if width is None:
            return kept, widths

        def others() -> int:
            return sum(widths[n] + len(_GAP) for n in kept[1:])

        first = min(widths[0], _LEAST)
        for n in sorted(kept, key=lambda n: -self.columns[n].drop):
            if self.columns[n].drop and first + others() > width:
                kept.remove(n)
        widths[0] = max(first, min(widths[0], width - others()))
        return kept, widths

    def _widths(self) -> list[int]:
        return [
            max(map(cells, [column.head, *(row.texts[n] for row in self.rows)]))
            for n, column in enumerate(self.columns)
        ]

    def _line(
        self, texts: Sequence[str], kept: list[int], widths: list[int], style: dict[str, Any]
    ) -> str:
        placed = []
        for n in kept:
            text = shorten(texts[n], widths[n])
            pad = " " * (widths[n] - cells(text))
            styled = click.style(text, **style) if n == 1 and style else text
            placed.append(pad + styled if self.columns[n].right else styled + pad)
        return _GAP.join(placed).rstrip()

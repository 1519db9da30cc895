"""Figures and tables as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def count(number: float) -> str:
    """A count: whole from 10 on, tenths below."""
    shown = f"{number:,.0f}" if abs(number) >= 9.95 else f"{number:.1f}"
    return "0" if shown in ("-0.0", "0.0") else shown.removesuffix(".0")


def roughly(number: float) -> str:
    """The order of magnitude of something that differs from machine to machine: one digit."""
    return _digits(number, 1)


def dollars(number: float) -> str:
    """Dollars and cents; below a cent one digit, and below a thousandth of it nothing."""
    if number >= 0.01:
        return f"{number:,.2f}"
    return _digits(number, 1) if number >= 0.00001 else "0"


def span(least: str, most: str) -> str:
    """From the one to the other."""
    return least if least == most else f"{least} to {most}"


def _digits(number: float, digits: int) -> str:
    rounded = float(f"{number:.{digits}g}")
    shown = f"{rounded:,.6f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown

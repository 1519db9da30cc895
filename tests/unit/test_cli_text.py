"""What the command line prints fits the terminal, whatever is to be printed."""

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.cli import text
from copy_core.cli.board import Board
from copy_core.cli.report import summary_lines
from copy_core.context import Progress
from copy_core.model import RunSummary, TableResult

NAMES = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z", "M"]), min_size=1, max_size=200),
    min_size=1,
    max_size=40,
    unique=True,
)
WIDTHS = st.integers(80, 200)


def _cells(line: str) -> int:
    return text.cells(click.unstyle(line))


@given(name=NAMES.map("".join), width=st.integers(8, 60))
def test_a_name_is_cut_in_its_middle(name: str, width: int) -> None:
    short = text.shorten(name, width)
    assert text.cells(short) <= width
    if short != name:
        head, tail = short.split("…", 1) if "…" not in name else ("", "")
        assert name.startswith(head)
        assert name.endswith(tail)


@given(names=NAMES, width=WIDTHS, height=st.integers(4, 60))
def test_the_board_fits_the_terminal(names: list[str], width: int, height: int) -> None:
    board = Board(names)
    for n, name in enumerate(names[::2]):
        board.at_step(name, "copy_part", 10.0)
        board.observe(Progress(name, "planned", 10 ** (n % 9)))
        board.observe(Progress(name, "batch", 10 ** (n % 10), 10 ** (n % 13)))
    board.ended(TableResult(source=names[0], destination="d", status="failed"), 11.0)
    lines = board.lines(width, height, 12.0)
    assert len(lines) <= height
    assert max(map(_cells, lines)) <= width


def test_a_board_that_is_too_long_shows_what_is_under_way() -> None:
    names = [f"t{n}" for n in range(100)]
    board = Board(names)
    for name in names[:50]:
        board.at_step(name, "plan", 1.0)
        board.ended(TableResult(source=name, destination=name, status="copied"), 2.0)
    board.at_step("t99", "publish", 3.0)
    lines = board.lines(80, 10, 4.0)
    assert any(line.startswith("t99") and "publishing" in line for line in lines)
    assert "50 of 100 tables" in lines[-1]


@given(names=NAMES, width=WIDTHS, bound=st.none() | st.just("2024-12-31T23:59:59.1234567Z"))
def test_a_summary_fits_the_terminal_and_keeps_its_numbers(
    names: list[str], width: int, bound: str | None
) -> None:
    tables = tuple(
        TableResult(
            source=name,
            destination=name,
            status="unchanged",
            load_type="incremental",
            rows_read=999_999_999,
            rows_written=999_999_999,
            files_written=9_999,
            bytes_written=10**12,
            lower_bound=bound,
            upper_bound=bound,
            duration_s=9_999,
            rows_per_s=999_999,
            rows_skipped_null=999_999_999,
            rows_rejected=999_999_999,
            retries=99,
            resumed=True,
        )
        for name in names
    )
    at = "2026-01-01T00:00:00+00:00"
    summary = RunSummary(
        run_id="r", job="j", status="succeeded", started_at=at, ended_at=at, tables=tables
    )
    lines = list(summary_lines(summary, width))
    assert max(map(_cells, lines)) <= width
    assert sum("999,999,999  999,999,999" in line for line in lines) == len(names)
    assert (bound is None) or any(bound in line for line in lines)


@pytest.mark.parametrize(
    ("written", "value", "how"),
    [
        ("–", 0, text.size),  # noqa: RUF001 - the dash
        ("999 B", 999, text.size),
        ("1.0 kB", 1000, text.size),
        ("100 kB", 99_960, text.size),
        ("1.0 MB", 999_600, text.size),
        ("5,000 TB", 5 * 10**15, text.size),
        ("950", 950.4, text.rate),
        ("12.3k", 12_340, text.rate),
        ("0.4 s", 0.42, text.seconds),
        ("12 s", 12.4, text.seconds),
        ("3m 05s", 185, text.seconds),
        ("2h 10m", 7_800, text.seconds),
        ("1 row", 1, lambda n: text.plural(n, "row")),
        ("1,000 rows", 1000, lambda n: text.plural(n, "row")),
    ],
)
def test_numbers_read_well(written: str, value: float, how: Any) -> None:
    assert how(value) == written

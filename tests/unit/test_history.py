"""Run records: newest first, in pages, by job, replaced and not doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from copy_core.errors import TerminalError
from copy_core.model import RunSummary, TableResult
from copy_core.state import history
from copy_core.state.base import StateStore
from copy_core.state.sqlite import SqliteStateStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with SqliteStateStore(tmp_path / "state.db") as store:
        yield store


def table(n: int, status: Literal["copied", "failed"] = "copied") -> TableResult:
    return TableResult(
        source=f"dbo.T {n}",
        destination=f"T{n}",
        status=status,
        rows_read=10,
        rows_written=9,
        files_written=2,
        bytes_written=2**40,
        lower_bound="2026-01-01T00:00:00.0000001",
    )


def summary(
    run_id: str, started_at: str = "2026-11-22T10:00:00Z", job: str = "sales", tables: int = 0
) -> RunSummary:
    return RunSummary(
        run_id=run_id,
        job=job,
        trigger="schedule",
        status="succeeded",
        started_at=started_at,
        ended_at=started_at,
        tables=tuple(table(n) for n in range(tables)),
        error=None,
    )


def ids(page: history.Page) -> list[str]:
    return [run.run_id for run in page.runs]


def test_a_run_comes_back_whole(store: StateStore) -> None:
    run = summary("a", tables=3)
    failed = run.model_copy(
        update={
            "status": "failed",
            "tables": (*run.tables, table(4, "failed")),
            "error": TerminalError("no", fix="yes").to_json(),
        }
    )
    history.record(store, failed)
    assert history.run(store, "a") == failed


def test_a_run_that_nobody_recorded_is_none(store: StateStore) -> None:
    assert history.run(store, "a") is None
    assert history.runs(store) == ((), None)
    assert history.runs(store, job="sales") == ((), None)


def test_a_list_shows_sums(store: StateStore) -> None:
    run = summary("a", tables=2)
    history.record(store, run.model_copy(update={"tables": (*run.tables, table(2, "failed"))}))
    (header,) = history.runs(store).runs
    assert (header.tables, header.failed) == (3, 1)
    assert (header.rows_read, header.rows_written, header.bytes_written) == (30, 27, 3 * 2**40)
    assert header.files_written == 6
    assert (header.job, header.trigger, header.status) == ("sales", "schedule", "succeeded")


def test_a_run_that_was_recorded_before_files_were_summed_is_listed(store: StateStore) -> None:
    history.record(store, summary("a", tables=2))
    for row in store.list(history.ALL):
        old = {name: value for name, value in row.value.items() if name != "files_written"}
        store.put(history.ALL, row.key, old)
    assert [run.files_written for run in history.runs(store).runs] == [0]


def test_five_thousand_tables_come_back_in_order(store: StateStore) -> None:
    run = summary("a", tables=5_000)
    history.record(store, run)
    assert history.run(store, "a") == run
    assert history.runs(store).runs[0].tables == 5_000


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:01Z"),
        ("2026-11-22T10:00:00.000001Z", "2026-11-22T10:00:00.000002Z"),
        ("2026-11-22T10:00:00+02:00", "2026-11-22T09:00:00Z"),
        ("2026-11-22T10:00:00", "2026-11-22T10:00:01+00:00"),
        ("1999-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_the_later_start_is_listed_first(store: StateStore, earlier: str, later: str) -> None:
    history.record(store, summary("late", later))
    history.record(store, summary("early", earlier))
    assert ids(history.runs(store)) == ["late", "early"]


def test_runs_that_start_together_are_all_listed(store: StateStore) -> None:
    for run_id in ("b", "a", "c"):
        history.record(store, summary(run_id))
    assert sorted(ids(history.runs(store))) == ["a", "b", "c"]


def test_pages_follow_each_other(store: StateStore) -> None:
    for n in range(6):
        history.record(store, summary(f"{n}", f"2026-11-22T10:00:0{n}Z"))
    first = history.runs(store, limit=4)
    assert ids(first) == ["5", "4", "3", "2"]
    history.record(store, summary("new", "2026-11-22T11:00:00Z"))
    second = history.runs(store, limit=4, before=first.next)
    assert ids(second) == ["1", "0"]
    assert second.next is None
    exact = history.runs(store, limit=7)
    assert len(exact.runs) == 7
    assert exact.next is None


def test_a_job_lists_its_own_runs(store: StateStore) -> None:
    for job in ("sales", "sales2", "sale"):
        for n in range(2):
            history.record(store, summary(f"{job}-{n}", f"2026-11-22T10:00:0{n}Z", job))
    page = history.runs(store, job="sales", limit=1)
    assert ids(page) == ["sales-1"]
    page = history.runs(store, job="sales", limit=1, before=page.next)
    assert ids(page) == ["sales-0"]
    assert page.next is None
    assert len(history.runs(store).runs) == 6


def test_a_run_that_is_recorded_again_is_replaced(store: StateStore) -> None:
    history.record(store, summary("a", tables=4))
    again = summary("a", tables=2).model_copy(update={"status": "cancelled"})
    history.record(store, again)
    assert history.run(store, "a") == again
    for page in (history.runs(store), history.runs(store, job="sales")):
        assert [(run.status, run.tables) for run in page.runs] == [("cancelled", 2)]
    history.record(store, summary("a", tables=0))
    assert history.run(store, "a") == summary("a")


def test_a_run_that_is_recorded_with_another_start_is_listed_once(store: StateStore) -> None:
    history.record(store, summary("a", "2026-11-22T10:00:00Z"))
    history.record(store, summary("b", "2026-11-22T10:00:01Z"))
    history.record(store, summary("a", "2026-11-22T10:00:02Z"))
    assert ids(history.runs(store)) == ["b", "a"]
    assert ids(history.runs(store, job="sales")) == ["b", "a"]

"""Run records: newest first, in pages, by job, replaced and not doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from copy_core.errors import ConflictError, TerminalError, TransientError
from copy_core.model import JsonDict, RunRequest, RunStatus, RunSummary, TableResult
from copy_core.state import history
from copy_core.state.base import ANY, Row, StateStore
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


# What others do between a look and a write

BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
RUN = RunRequest(run_id="a", job="sales", tables=("dbo.T 0",))


class Shared(SqliteStateStore):
    """A state in which somebody else does something just after a call; he is not called again for
    what he does himself.

    Attributes:
        between: what happens after a call of that name for a row.
    """

    between: Callable[[str, str], None] | None = None

    def get(self, partition: str, key: str) -> Row | None:
        row = super().get(partition, key)
        self._happen("get", key)
        return row

    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        etag = super().put(partition, key, value, expect)
        self._happen("put", key)
        return etag

    def _happen(self, call: str, key: str) -> None:
        between, self.between = self.between, None
        if between:
            between(call, key)
            self.between = between

    def once(self, call: str, key: str, happen: Callable[[], object]) -> None:
        """Has something happen after the first such call."""
        first = count()

        def between(seen: str, at: str) -> None:
            if (seen, at) == (call, key) and next(first) == 0:
                happen()

        self.between = between


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with Shared(tmp_path / "shared.db") as store:
        yield store


def begin(store: StateStore, minutes: float = 0) -> None:
    history.begin(store, RUN, 1, BEGAN + timedelta(minutes=minutes))


def end(store: StateStore, status: RunStatus) -> RunSummary:
    ended = summary("a").model_copy(update={"status": status})
    return history.end(store, ended)


def told(store: StateStore) -> list[RunStatus]:
    """The run's status as its record and each list tell it."""
    pages = (history.runs(store), history.runs(store, "sales"))
    run = history.run(store, "a")
    assert run is not None
    return [run.status, *(header.status for page in pages for header in page.runs)]


def test_of_two_who_end_a_run_at_once_the_first_is_believed(shared: Shared) -> None:
    begin(shared)
    shared.once("get", "header", lambda: end(shared, "cancelled"))
    assert end(shared, "succeeded").status == "cancelled"
    assert told(shared) == ["cancelled"] * 3


def test_a_run_that_begins_twice_at_once_is_listed_once(shared: Shared) -> None:
    shared.once("get", "header", lambda: begin(shared))
    begin(shared, 1)
    end(shared, "succeeded")
    assert told(shared) == ["succeeded"] * 3


def test_a_beginning_that_is_overtaken_by_the_end_is_refused(shared: Shared) -> None:
    begin(shared)
    shared.once("get", "header", lambda: end(shared, "succeeded"))
    with pytest.raises(ConflictError) as e:
        begin(shared)
    assert e.value.code == "run-ended"
    assert told(shared) == ["succeeded"] * 3


def test_a_beginning_that_is_overtaken_as_it_is_listed_leaves_the_end_in_the_lists(
    shared: Shared,
) -> None:
    begin(shared)
    shared.once("put", "header", lambda: end(shared, "succeeded"))
    begin(shared)
    assert told(shared) == ["succeeded"] * 3


def test_an_end_that_broke_off_before_it_was_listed_is_listed_by_the_next_try(
    shared: Shared,
) -> None:
    def break_off() -> None:
        raise TransientError("away")

    begin(shared)
    shared.once("put", "header", break_off)
    with pytest.raises(TransientError):
        end(shared, "succeeded")
    shared.between = None
    end(shared, "succeeded")
    assert told(shared) == ["succeeded"] * 3


def test_what_a_run_was_asked_for_is_not_forgotten_as_it_begins(shared: Shared) -> None:
    history.ask(shared, RUN, BEGAN)
    shared.once("get", "header", lambda: begin(shared))
    history.forget_asked(shared, "a")
    assert history.asked(shared, "a") is not None


def test_a_run_begins_with_what_it_was_asked_for_whenever_that_is_to_be_forgotten(
    shared: Shared,
) -> None:
    def forget(call: str, _: str) -> None:
        if call == "put":
            history.forget_asked(shared, "a")

    shared.between = forget
    begin(shared)
    assert history.asked(shared, "a") is not None

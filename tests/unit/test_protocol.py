"""The copy protocol through the local runner, on memory connectors and a real state file."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from copy_core import table_steps
from copy_core.connectors import memory
from copy_core.connectors.memory import MemoryDestination, MemorySource, MemoryStore
from copy_core.connectors.options import MemoryOptions
from copy_core.context import Context, Progress
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.job import Job, JobFile, resolve
from copy_core.model import Commit, Published, RunSummary, Slice, TableResult, Target
from copy_core.outcomes import as_outcome
from copy_core.reset import reset
from copy_core.runners.local import LocalRunner
from copy_core.state import history, lease, tables
from copy_core.state.sqlite import SqliteStateStore

SCHEMA = pa.schema([("id", pa.int64()), ("v", pa.int64()), ("name", pa.string())])


class House:
    """A job from one memory store to another, and its state."""

    def __init__(self, folder: Path) -> None:
        key = uuid.uuid4().hex
        self.folder = folder
        self.state = SqliteStateStore(folder / "state.db")
        self.options = {
            name: MemoryOptions(type="memory", name=f"{key}-{name}") for name in ("from", "to")
        }
        self.settings: dict[str, Any] = {"mode": "incremental", "incremental_column": "v"}
        self.entry: dict[str, Any] = {}

    @property
    def source(self) -> MemoryStore:
        return memory.store(self.options["from"].name)

    @property
    def destination(self) -> MemoryStore:
        return memory.store(self.options["to"].name)

    def lose_state(self) -> None:
        """Goes on with an empty state."""
        self.state.close()
        self.state = SqliteStateStore(self.folder / "new.db")

    def put(self, *rows: tuple[int, int | None, str], name: str = "t") -> None:
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        self.source.put(name, pa.table(columns, schema=SCHEMA), ["id"])

    def rows(self, name: str = "t") -> list[tuple[Any, ...]]:
        return sorted(tuple(row.values()) for row in self.destination.read(name).to_pylist())

    def job(self, *names: str) -> Job:
        entries = [{"source": name, **self.entry} for name in names or ("t",)]
        job = {
            "name": "job",
            "source": "from",
            "destination": "to",
            "tables": entries,
            "limits": {"retries": 2, "batch_rows": 2},
            **self.settings,
        }
        return resolve(JobFile.model_validate(job))

    def context(self, *names: str) -> Context:
        return Context(self.job(*names), self.options, self.state)

    def runner(self, *names: str) -> LocalRunner:
        return LocalRunner(self.context(*names))

    def run(self, *names: str) -> RunSummary:
        return self.runner(*names).run()

    def one(self) -> TableResult:
        (result,) = self.run().tables
        return result


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.source.clear()
    house.destination.clear()
    house.state.close()


def test_a_first_load_then_only_what_is_new(house: House) -> None:
    house.put((1, 10, "a"), (2, 20, "b"))
    first = house.one()
    assert (first.status, first.load_type, first.rows_read, first.rows_written) == (
        "copied", "full", 2, 2,
    )  # fmt: skip
    assert house.one().status == "unchanged"
    house.put((1, 10, "a"), (2, 20, "b"), (3, 20, "tie"), (4, 30, "c"))
    second = house.one()
    assert (second.load_type, second.lower_bound, second.upper_bound) == ("incremental", "20", "30")
    assert [row[0] for row in house.rows()] == [1, 2, 4]


@pytest.mark.parametrize("loaded", [False, True])
def test_rows_that_still_arrive_in_the_newest_second_are_not_missed(
    house: House, monkeypatch: pytest.MonkeyPatch, *, loaded: bool
) -> None:
    second = datetime(2026, 1, 2, 11, 30, 7, tzinfo=UTC)

    def put(*seconds: int) -> None:
        times = [second + timedelta(seconds=s) for s in seconds]
        schema = pa.schema([("id", pa.int64()), ("v", pa.timestamp("us", "UTC"))])
        table = pa.table([list(range(len(seconds))), times], schema=schema)
        house.source.put("t", table, ["id"])

    def later(seconds: float) -> None:
        waited.append(seconds)
        put(-9, 0, 0, 1)

    waited = list[float]()
    monkeypatch.setattr(table_steps, "_now", lambda: second + timedelta(seconds=0.5))
    monkeypatch.setattr(table_steps, "time", SimpleNamespace(sleep=later, time=time.time))
    if loaded:
        put(-9)
        house.run()
    put(-9, 0)
    assert house.one().status == "copied"
    assert waited == [1.0]
    assert [row[0] for row in house.rows()] == [0, 1, 2]
    monkeypatch.setattr(table_steps, "_now", lambda: second + timedelta(seconds=9))
    assert house.one().status == "copied"
    assert house.one().status == "unchanged"
    assert [row[0] for row in house.rows()] == [0, 1, 2, 3]
    assert waited == [1.0]


@pytest.mark.parametrize("allowance", ["lookback", "delay"])
def test_a_job_that_allows_for_late_rows_does_not_wait_for_them(
    house: House, monkeypatch: pytest.MonkeyPatch, allowance: str
) -> None:
    second = datetime(2026, 1, 2, 11, 30, 7, tzinfo=UTC)
    monkeypatch.setattr(table_steps, "_now", lambda: second + timedelta(seconds=0.3))
    monkeypatch.setattr(table_steps, "time", SimpleNamespace(sleep=pytest.fail, time=time.time))
    house.settings |= {"write": "upsert", allowance: "1s"}
    schema = pa.schema([("id", pa.int64()), ("v", pa.timestamp("us", "UTC"))])
    times = [second - timedelta(seconds=9), second]
    house.source.put("t", pa.table([[0, 1], times], schema=schema), ["id"])
    assert house.one().status == "copied"


def test_an_upsert_replaces_rows_by_the_primary_key_of_the_source(house: House) -> None:
    house.settings["write"] = "upsert"
    house.put((1, 10, "a"), (2, 20, "b"))
    house.run()
    house.put((1, 30, "A"), (2, 20, "b"))
    assert house.one().rows_written == 1
    assert house.rows() == [(1, 30, "A"), (2, 20, "b")]


def test_a_full_copy_in_overwrite_mode_mirrors_the_source(house: House) -> None:
    house.settings = {"mode": "full", "write": "overwrite"}
    house.put((1, 10, "a"), (2, 20, "b"))
    house.run()
    house.put((2, 20, "b"))
    house.run()
    assert house.rows() == [(2, 20, "b")]


def test_columns_are_chosen_renamed_cast_and_audited(house: House) -> None:
    house.entry = {
        "columns": ["id", {"name": "v", "rename": "value", "cast": "decimal(10,2)"}],
        "audit": {"_run": "run_id", "_upper": "upper_bound", "_env": {"value": "prod"}},
    }
    house.put((1, 10, "a"))
    summary = house.run()
    row = house.destination.read("t").to_pylist()[0]
    assert str(row.pop("value")) == "10.00"
    assert row == {"id": 1, "_run": summary.run_id, "_upper": "10", "_env": "prod"}


def test_rows_without_a_watermark_come_with_the_first_load_and_are_counted_later(
    house: House,
) -> None:
    house.put((1, 10, "a"), (2, None, "null"))
    assert house.one().rows_written == 2
    house.put((1, 10, "a"), (2, None, "null"), (3, None, "null"), (4, 20, "b"))
    later = house.one()
    assert (later.rows_written, later.rows_skipped_null) == (1, 2)
    assert [row[0] for row in house.rows()] == [1, 2, 4]


def test_nulls_may_be_forbidden(house: House) -> None:
    house.settings["nulls"] = "fail"
    house.put((1, 10, "a"), (2, None, "null"))
    failed = house.one()
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error["where"] == {"column": "v", "job": "job", "table": "t"}


def test_an_empty_table_arrives_as_an_empty_table(house: House) -> None:
    house.put()
    assert house.one().status == "copied"
    assert house.rows() == []
    assert house.one().status == "unchanged"


def test_rows_committed_late_are_seen_within_the_lookback(house: House) -> None:
    house.settings |= {"write": "upsert", "lookback": 5}
    house.put((1, 10, "a"), (2, 20, "b"))
    house.run()
    house.put((1, 10, "a"), (2, 20, "b"), (3, 16, "late"))
    house.run()
    assert [row[0] for row in house.rows()] == [1, 2, 3]


def test_one_failing_table_does_not_stop_the_others(house: House) -> None:
    house.put((1, 10, "a"))
    house.put((1, 10, "a"), name="u")
    summary = house.run("t", "missing", "u")
    assert [table.status for table in summary.tables] == ["copied", "failed", "copied"]
    assert summary.status == "failed"
    error = summary.tables[1].error
    assert error is not None
    assert error["code"] == "table-missing"


def test_two_runs_at_once_one_works_and_the_other_names_the_holder(house: House) -> None:
    house.put((1, 10, "a"))
    owner = lease.Owner(run_id="other", holder="a test")
    lease.claim(house.state, "job", 60, owner)
    summary = house.run()
    assert summary.status == "conflict"
    assert summary.error is not None
    assert "run other" in summary.error["message"]
    lease.release(house.state, "job", "other")
    assert house.run().status == "succeeded"


def test_a_run_leaves_its_record_and_no_lease(house: House) -> None:
    house.put((1, 10, "a"))
    summary = house.run()
    assert history.run(house.state, summary.run_id) == summary
    assert lease.holder_of(house.state, "job") is None


class Refusing(MemoryDestination):
    """Publishes, but the answer is lost the first time."""

    lost = 1

    def publish(self, commit: Commit) -> Published:
        done = super().publish(commit)
        if Refusing.lost:
            Refusing.lost -= 1
            raise TransientError("the connection broke before the answer came", retry_after=0.01)
        return done


def test_a_publish_whose_answer_is_lost_is_not_published_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MemoryDestination", Refusing)
    house.put((1, 10, "a"))
    result = house.one()
    assert (result.status, result.retries) == ("copied", 1)
    assert house.rows() == [(1, 10, "a")]


class Dying(MemorySource):
    """Reads some parts, then fails for good."""

    failing = True

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        batches = super().read(part, batch_rows)
        if Dying.failing and part.range and "2" in str(part.range):
            raise TransientError("the source went away", retry_after=0.01)
        return batches


def test_a_full_copy_that_broke_off_is_done_once_more_and_counted_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MemorySource", Dying)
    monkeypatch.setattr(Dying, "failing", True)
    house.settings = {"mode": "full", "write": "overwrite"}
    house.entry = {"parts": 4}
    house.put(*((n, n, "x") for n in range(1, 41)))
    assert house.one().status == "failed"
    monkeypatch.setattr(Dying, "failing", False)
    result = house.one()
    assert (result.resumed, result.rows_read, result.rows_written) == (True, 40, 40)
    assert result.parts == 4
    assert len(house.rows()) == 40


def test_a_first_load_that_broke_off_copies_only_the_missing_parts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MemorySource", Dying)
    house.entry = {"parts": 4}
    house.put(*((n, n, "x") for n in range(1, 41)))
    assert house.one().status == "failed"
    state, _ = tables.load(house.state, "job", "t")
    assert state.pending is not None
    staged = [p.staged is not None for p in _parts(house, state.pending.plan_id)]
    assert any(staged)
    assert not all(staged)
    Dying.failing = False
    house.put(*((n, n, "x") for n in range(1, 42)))
    result = house.one()
    assert (result.status, result.resumed, result.rows_written) == ("copied", True, 41)
    assert result.rows_read < 41
    assert [row[0] for row in house.rows()] == list(range(1, 42))


def _parts(house: House, plan_id: str) -> list[tables.Part]:
    return tables.parts(house.state, "job", "t", plan_id)


def test_duplicate_keys_fail_and_the_next_run_starts_from_the_mended_source(house: House) -> None:
    house.settings |= {"write": "upsert", "keys": ["name"]}
    house.put((1, 10, "a"), (2, 10, "a"))
    failed = house.one()
    assert failed.error is not None
    assert failed.error["code"] == "duplicate-key"
    house.put((1, 10, "a"), (2, 10, "b"))
    assert house.one().status == "copied"
    assert [row[2] for row in house.rows()] == ["a", "b"]


def test_a_lost_state_is_found_again_in_the_ledger(house: House) -> None:
    house.put((1, 10, "a"))
    house.run()
    house.lose_state()
    house.put((1, 10, "a"), (2, 20, "b"))
    assert house.one().rows_written == 1
    assert [row[0] for row in house.rows()] == [1, 2]
    assert tables.load(house.state, "job", "t")[0].sequence == 2


def test_a_destination_that_lost_its_rows_is_not_appended_to(house: House) -> None:
    house.put((1, 10, "a"))
    house.run()
    house.destination.clear()
    house.put((1, 10, "a"), (2, 20, "b"))
    failed = house.one()
    assert failed.error is not None
    assert failed.error["code"] == "destination-lost"
    assert "copyjob reset" in failed.error["fix"]


def test_another_incremental_column_is_refused_until_the_reset(house: House) -> None:
    house.put((1, 10, "a"))
    house.run()
    house.settings["incremental_column"] = "id"
    failed = house.one()
    assert failed.error is not None
    assert failed.error["code"] == "definition-changed"


def test_a_lost_state_does_not_hide_that_the_incremental_column_changed(house: House) -> None:
    house.put((1, 10, "a"))
    house.run()
    house.lose_state()
    house.settings["incremental_column"] = "id"
    failed = house.one()
    assert failed.error is not None
    assert failed.error["code"] == "definition-changed"


def test_another_filter_or_other_keys_are_refused_until_the_reset(house: House) -> None:
    house.settings["write"] = "upsert"
    house.put((1, 10, "a"))
    house.run()
    house.put((1, 10, "a"), (2, 20, "b"))
    house.entry = {"filter": [{"column": "id", "op": ">", "value": 0}]}
    assert "filter" in _error(house)["message"]
    house.entry = {"keys": ["name"]}
    assert "keys" in _error(house)["message"]
    house.entry = {"keys": ["id"]}  # the primary key, written out
    assert house.one().status == "copied"


def _error(house: House) -> dict[str, Any]:
    error = house.one().error
    assert error is not None
    return error


def test_a_reset_that_truncates_still_merges_by_key(house: House) -> None:
    house.settings |= {"write": "upsert", "keys": ["name"]}
    house.put((1, 10, "a"), (2, 20, "a"))
    house.run()
    reset(house.state, house.job(), ["t"], truncate=True)
    house.put((1, 10, "a"), (2, 20, "a"), (3, 30, "b"))
    assert house.one().status == "copied"
    assert house.rows() == [(2, 20, "a"), (3, 30, "b")]


def test_a_table_that_shares_its_destination_is_not_truncated(house: House) -> None:
    house.entry = {"destination": "all"}
    with pytest.raises(ConfigError) as refused:
        reset(house.state, house.job("t", "u"), ["t"], truncate=True)
    assert refused.value.code == "destination-shared"


def test_a_lost_state_after_a_full_copy_is_not_taken_for_a_watermark(house: House) -> None:
    incremental = house.settings
    house.settings = {"mode": "full"}
    house.put((1, 10, "a"))
    house.run()
    house.lose_state()
    house.settings = incremental
    assert _error(house)["code"] == "definition-changed"


def test_what_is_published_is_committed_without_being_copied_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put((1, 10, "a"))
    runner = house.runner()
    with monkeypatch.context() as dying:
        dying.setattr(tables, "forget_parts", lambda *_: None)
        dying.setattr("copy_core.steps.Steps.commit", as_outcome(_out_of_order))
        runner.run()
    assert house.rows() == [(1, 10, "a")]
    house.source.clear()
    house.put((1, 10, "a"), (2, 20, "b"))
    result = house.one()
    assert (result.resumed, result.rows_read, result.rows_written) == (True, 1, 2)
    assert [row[0] for row in house.rows()] == [1, 2]


def _out_of_order(_steps: Any, _arg: Any) -> dict[str, Any]:
    raise TerminalError("the state store is out of order")


def test_a_plan_that_was_overtaken_is_never_committed_as_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two plans of one sequence: the ledger's is the one that counts."""
    house.put((1, 10, "a"))

    class Overtaken(MemoryDestination):
        def publish(self, commit: Commit) -> Published:
            other = commit.model_copy(update={"plan_id": "other", "staged": ()})
            super().publish(other)
            return super().publish(commit)

    with monkeypatch.context() as racing:
        racing.setattr(memory, "MemoryDestination", Overtaken)
        assert _error(house)["code"] == "overtaken"
    assert tables.load(house.state, "job", "t")[0].watermark is None


def test_a_table_whose_flow_breaks_off_does_not_take_others_along(house: House) -> None:
    house.put((1, 10, "a"))
    house.put((1, 10, "a"), name="u")

    def broken(progress: Progress) -> None:
        if progress.table == "t":
            raise BrokenPipeError("nobody looks at it any more")

    runner = LocalRunner(replace(house.context("t", "u"), observe=broken))
    assert [t.status for t in runner.run().tables] == ["failed", "copied"]
    assert lease.holder_of(house.state, "job") is None


def test_housekeeping_that_fails_does_not_stop_a_table(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Untidy(MemoryDestination):
        def clean(self, target: Target) -> None:
            raise ConfigError(f"no right to delete in {target.object}")

    monkeypatch.setattr(memory, "MemoryDestination", Untidy)
    house.put((1, 10, "a"))
    assert house.one().status == "copied"
    house.put((1, 10, "a"), (2, 20, "b"))
    assert house.one().status == "copied"


def test_a_delay_below_every_value_of_the_type_reads_nothing(house: House) -> None:
    house.settings["delay"] = 100
    house.source.put("t", pa.table({"id": [1], "v": pa.array([5], pa.uint8())}), ["id"])
    result = house.one()
    assert (result.status, result.rows_written) == ("copied", 0)


def test_input_that_was_mended_is_copied_by_the_next_run(house: House) -> None:
    house.entry = {"columns": ["id", "v", {"name": "name", "cast": "int64"}]}
    house.put((1, 10, "7"), (2, 20, "b"))
    assert _error(house)["code"] == "value-does-not-fit"
    house.put((1, 10, "7"), (2, 20, "8"))
    assert house.one().status == "copied"
    assert house.rows() == [(1, 10, 7), (2, 20, 8)]


def test_a_run_that_is_stopped_goes_on_next_time(house: House) -> None:
    house.put(*((n, n, "x") for n in range(1, 11)))
    runner = house.runner()
    runner.stop()
    summary = runner.run()
    assert summary.status == "cancelled"
    assert lease.holder_of(house.state, "job") is None
    assert house.one().rows_written == 10


def test_every_row_of_a_window_carries_the_time_at_which_it_was_planned(house: House) -> None:
    house.entry = {"audit": {"_at": "extracted_at"}, "parts": 3}
    house.put(*((n, n, "x") for n in range(1, 11)))
    before = datetime.now(UTC)
    house.run()
    times = set(house.destination.read("t")["_at"].to_pylist())
    assert len(times) == 1
    assert before <= times.pop() <= datetime.now(UTC)

"""The control flow where a run is large, is loaded anew, or is asked to stop."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core import flow
from copy_core.context import Progress
from copy_core.model import Outcome, RunRequest
from copy_core.runners.local import LocalRunner
from copy_core.state import history, lease
from copy_core.steps import Steps
from copy_core.tally import Tally
from tests.unit.test_protocol import House, house

__all__ = ["house"]


class Recorder:
    """Runs a job as a driver does that keeps every step's arguments and results as JSON."""

    def __init__(
        self, house: House, *names: str, group: int, tables: tuple[str, ...] | None = None
    ) -> None:
        self.steps = Steps(house.context(*names))
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.longest = 0
        self.renewed = 0
        self.shown: list[dict[str, Any]] = []
        request = RunRequest(run_id="r", job="job", tables=tables)
        self.summary = self._drive(flow.run_job({**request.to_json(), "group": group}))

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def _drive(self, steps: flow.Flow) -> Any:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._do(step)

    def _do(self, step: flow.Step) -> Any:
        match step:
            case flow.Call(name, arg):
                self.calls.append((name, json.loads(json.dumps(arg))))
                return getattr(self.steps, name)(arg)
            case flow.Wait():
                return None
            case flow.Gather(flows, _):
                assert flows
                self.longest = max(self.longest, len(flows))
                return [self._drive(each) for each in flows]
            case flow.CopyTable(arg):
                return self._drive(flow.copy_table(json.loads(json.dumps(arg)))), True
            case flow.Report(progress):
                self.shown.append(progress)
                return None
            case flow.Renew(name, arg):
                self.renewed += 1
                return self._drive(flow.FLOWS[name](json.loads(json.dumps(arg))))


@pytest.fixture
def tables(house: House) -> list[str]:
    names = [f"t{n}" for n in range(7)]
    for name in names:
        house.put((1, 10, "a"), (2, 20, "b"), name=name)
    return names


@pytest.mark.parametrize("group", [1, 3, 100])
def test_tables_are_planned_together_and_copied_one_by_one(
    house: House, tables: list[str], group: int
) -> None:
    first = Recorder(house, *tables, group=group)
    assert first.summary["status"] == "succeeded"
    assert all(house.rows(name) == [(1, 10, "a"), (2, 20, "b")] for name in tables)
    assert first.names().count("plan_tables") == -(-len(tables) // group)
    assert first.names().count("plan") == 0
    assert first.names().count("copy_part") == len(tables)
    assert first.shown[-1] == {"tables": 7, "done": 7, "failed": 0, "rows_written": 14}
    recorded = history.run(house.state, "r")
    assert recorded is not None
    assert [table.source for table in recorded.tables] == tables


def test_an_unchanged_table_costs_its_share_of_one_step(house: House, tables: list[str]) -> None:
    house.run(*tables)
    again = Recorder(house, *tables, group=100)
    assert again.names() == ["begin", "plan_tables", "finish"]
    recorded = history.run(house.state, "r")
    assert recorded is not None
    assert {table.status for table in recorded.tables} == {"unchanged"}
    assert len(recorded.tables) == 7


@pytest.mark.parametrize("group", [1, 2, 100])
def test_a_run_of_many_tables_renews_itself(
    house: House, tables: list[str], group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "TABLES_A_TURN", 3)
    run = Recorder(house, *tables, group=group)
    assert run.summary["status"] == "succeeded"
    assert (run.renewed, run.longest) == (2, 3)
    assert all(len(house.rows(name)) == 2 for name in tables)
    assert run.shown[-1]["done"] == 7


def test_a_table_of_many_parts_renews_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "PARTS_A_TURN", 2)
    house.entry = {"parts": 7}
    house.put(*((n, n, "x") for n in range(1, 71)))
    run = Recorder(house, "t", group=100)
    assert run.summary["status"] == "succeeded"
    assert run.names().count("copy_part") == 7
    assert run.names().count("plan") == 0
    assert (run.renewed, run.longest) == (3, 2)
    assert [row[0] for row in house.rows()] == list(range(1, 71))
    (table,) = history.tables(house.state, "r").values()
    assert (table.rows_read, table.rows_written, table.parts) == (70, 70, 7)


def test_a_table_that_no_step_could_record_fails_the_run(
    house: House, tables: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copy_core.state.history.record_tables", lambda *_: None)
    run = house.run(*tables)
    assert run.status == "failed"
    assert [table.source for table in run.tables] == tables


def test_a_job_whose_tables_change_in_mid_run_is_not_copied_by_half(
    house: House, tables: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count()
    monkeypatch.setattr("copy_core.steps.digest", lambda _: str(next(numbers)))
    run = house.run(*tables)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "job-changed"


def test_a_full_reload_replaces_what_is_there(house: House) -> None:
    house.put((1, 10, "a"), (2, 20, "b"))
    house.run()
    house.put((2, 15, "B"), (3, 30, "c"))
    result = house.runner().run(full=True).tables[0]
    assert (result.status, result.load_type, result.rows_written) == ("copied", "full", 2)
    assert house.rows() == [(2, 15, "B"), (3, 30, "c")]
    assert house.one().status == "unchanged"


def test_a_full_reload_that_broke_off_is_finished_by_the_next_run(house: House) -> None:
    house.put((1, 10, "a"))
    house.run()
    house.put((2, 15, "B"), (3, 30, "c"))
    runner = house.runner()
    runner._steps.context.observe = _stop_at(runner, "part")
    assert runner.run(full=True).status == "cancelled"
    assert house.rows() == [(1, 10, "a")]
    house.run()
    assert house.rows() == [(2, 15, "B"), (3, 30, "c")]


def _stop_at(runner: Any, event: str) -> Any:
    def observe(progress: Progress) -> None:
        if progress.event == event:
            runner.stop()

    return observe


def test_whoever_knows_the_run_may_ask_it_to_stop(house: House) -> None:
    house.entry = {"parts": 5}
    house.put(*((n, n, "x") for n in range(1, 51)))
    context = house.context()

    def observe(progress: Progress) -> None:
        if progress.event == "part":
            assert lease.ask_to_stop(house.state, "job", "asked")

    context.observe = observe
    summary = LocalRunner(context).run(run_id="asked")
    assert summary.status == "cancelled"
    assert "t" not in house.destination.tables
    assert lease.holder_of(house.state, "job") is None
    assert history.run(house.state, "asked") == summary
    result = house.one()
    assert (result.resumed, result.rows_written) == (True, 50)


def test_a_run_that_does_not_hold_the_job_cannot_be_asked(house: House) -> None:
    assert not lease.ask_to_stop(house.state, "job", "nobody")


def test_a_run_is_listed_from_its_beginning(house: House) -> None:
    house.put((1, 10, "a"))
    seen = []

    def observe(_: Progress) -> None:
        (header,) = history.runs(house.state, "job").runs
        seen.append((header.status, history.now(house.state, header).status))

    context = house.context()
    context.observe = observe
    LocalRunner(context).run()
    assert set(seen) == {("running", "running")}
    (header,) = history.runs(house.state, "job").runs
    assert (header.status, header.tables, header.rows_written) == ("succeeded", 1, 1)


def test_a_run_that_died_shows_as_interrupted(house: House) -> None:
    request = RunRequest(run_id="dead", job="job")
    assert house.runner()._steps.begin(request.to_json()).status == "done"
    lease.release(house.state, "job", "dead")
    (header,) = history.runs(house.state, "job").runs
    assert history.now(house.state, header).status == "interrupted"


def test_a_run_id_that_has_ended_starts_nothing(house: House) -> None:
    house.put((1, 10, "a"))
    assert house.runner().run(run_id="once").status == "succeeded"
    house.put((1, 10, "a"), (2, 20, "b"))
    again = house.runner().run(run_id="once")
    assert again.status == "conflict"
    assert house.rows() == [(1, 10, "a")]
    assert lease.holder_of(house.state, "job") is None
    recorded = history.run(house.state, "once")
    assert recorded is not None
    assert recorded.status == "succeeded"


@given(st.sets(st.integers(0, 300)), st.integers(1, 50))
def test_spans_hold_every_number_once(numbers: set[int], limit: int) -> None:
    left = flow.spans(sorted(numbers))
    assert sum(stop - start for start, stop in left) == len(numbers)
    taken: list[int] = []
    while left:
        now, left = flow._first(left, limit)
        assert 0 < len(now) <= limit
        taken += now
    assert taken == sorted(numbers)


def test_the_wait_for_a_turn_is_not_the_tables_time() -> None:
    tally = Tally("t")
    tally.add((Outcome(status="done", started=100.0, ended=101.0), 0))
    tally.pause()
    tally = Tally.of(tally.to_json())
    assert tally.result().duration_s == 1.0
    tally.add((Outcome(status="done", started=500.0, ended=502.0), 0))
    assert tally.result().duration_s == 3.0

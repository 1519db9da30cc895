"""Steps that are delivered again, late, or after the job was edited: no record may mislead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from copy_core import flow
from copy_core.connectors import memory
from copy_core.connectors.memory import MemoryDestination
from copy_core.context import Context, Progress
from copy_core.errors import Cancelled, TerminalError, TransientError
from copy_core.model import Commit, JsonDict, Outcome, Published, RunRequest, RunSummary
from copy_core.outcomes import outcome_of
from copy_core.runners.local import LocalRunner
from copy_core.service import interrupted, runs
from copy_core.state import history, lease, tables
from copy_core.state.base import StateStore
from copy_core.steps import Steps
from copy_core.survey import Survey, survey
from tests.unit.test_flow import Recorder
from tests.unit.test_protocol import House, house
from tests.unit.test_runs import Desk, desk, died, ended, now, once, statuses, stop, then

__all__ = ["desk", "house"]

Happen = Callable[[Steps, str, JsonDict], None]


class Disturbed(Recorder):
    """Runs a job, with something happening around each step."""

    def __init__(
        self,
        house: House,
        *names: str,
        group: int = 25,
        tables: tuple[str, ...] | None = None,
        before: Happen = lambda *_: None,
        after: Happen = lambda *_: None,
    ) -> None:
        self._before, self._after = before, after
        super().__init__(house, *names, group=group, tables=tables)

    def _do(self, step: flow.Step) -> Any:
        if not isinstance(step, flow.Call):
            return super()._do(step)
        self._before(self.steps, step.name, step.arg)
        answer = super()._do(step)
        self._after(self.steps, step.name, step.arg)
        return answer


@pytest.fixture
def recorded(house: House) -> Callable[[], RunSummary]:
    """What the history says of the run; tables `a` to `d` hold a row each."""
    for name in "abcd":
        house.put((1, 10, name), name=name)

    def look() -> RunSummary:
        found = history.run(house.state, "r")
        assert found is not None
        return found

    return look


@pytest.mark.parametrize("left", [["b"], ["a", "b", "c", "d"]])
def test_a_run_whose_job_is_edited_before_all_is_planned_fails(
    house: House, recorded: Callable[[], RunSummary], left: list[str]
) -> None:
    def edit(steps: Steps, name: str, arg: JsonDict) -> None:
        if name == "plan_tables" and arg["first"] == 1:
            steps.context.job = house.job(*left)

    Disturbed(house, "a", "b", group=1, before=edit)
    run = recorded()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "job-changed"
    assert [table.source for table in run.tables] == ["a"]
    assert lease.holder_of(house.state, "job") is None


def test_a_table_that_is_added_after_all_was_planned_is_not_the_runs_matter(
    house: House, recorded: Callable[[], RunSummary]
) -> None:
    def edit(steps: Steps, name: str, _: JsonDict) -> None:
        if name == "copy_part":
            steps.context.job = house.job("a", "b", "c")

    Disturbed(house, "a", "b", before=edit)
    run = recorded()
    assert (run.status, [table.source for table in run.tables]) == ("succeeded", ["a", "b"])


def test_a_table_that_is_taken_away_before_the_end_holds_nothing_up(
    house: House, recorded: Callable[[], RunSummary]
) -> None:
    def edit(steps: Steps, name: str, _: JsonDict) -> None:
        if name == "finish":
            steps.context.job = house.job("a", "c")

    Disturbed(house, "a", "b", "c", tables=("a", "b"), before=edit)
    assert recorded().status == "succeeded"
    assert lease.holder_of(house.state, "job") is None


def test_planning_that_is_delivered_after_the_end_changes_no_result(
    house: House, recorded: Callable[[], RunSummary]
) -> None:
    run = Disturbed(house, "a", "b")
    known = recorded()
    for name, arg in run.calls:
        if name == "plan_tables":
            assert run.steps.plan_tables(arg).status == "conflict"
    assert recorded() == known


def test_planning_that_is_delivered_in_mid_run_hides_no_copied_table(
    house: House, recorded: Callable[[], RunSummary]
) -> None:
    planned: list[JsonDict] = []

    def again(steps: Steps, name: str, arg: JsonDict) -> None:
        if name == "plan_tables":
            planned.append(arg)
        if name == "record" and arg["number"] == 0:
            steps.plan_tables(planned[0])

    Disturbed(house, "a", "b", after=again)
    results = [(table.status, table.rows_written) for table in recorded().tables]
    assert results == [("copied", 1), ("copied", 1)]


def test_a_plan_that_is_asked_for_twice_at_the_same_time_is_told_to_both(
    house: House, recorded: Callable[[], RunSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier delivery has made it, and its answer was lost."""
    told = list[Outcome]()

    def again(steps: Steps, name: str, arg: JsonDict) -> None:
        if name != "copy_part":
            return
        plan = {"run_id": arg["run_id"], "table": arg["table"], "full": False}

        def meanwhile(*args: Any) -> Survey:
            monkeypatch.setattr("copy_core.table_steps.survey", survey)
            found = survey(*args)
            told.append(steps.plan(plan))
            return found

        monkeypatch.setattr("copy_core.table_steps.survey", meanwhile)
        told.append(steps.plan(plan))

    Disturbed(house, "a", before=again)
    assert [outcome.status for outcome in told] == ["done", "done"]
    assert told[0].value == told[1].value
    assert recorded().status == "succeeded"


def test_a_publish_that_fails_after_its_window_was_committed_leaves_the_next_plan_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, plan, arg = staged(house)

    class Slow(MemoryDestination):
        def publish(self, commit: Commit) -> Published:
            monkeypatch.setattr(memory, "MemoryDestination", MemoryDestination)
            published = steps.publish(arg).value["published"]
            assert steps.commit({**arg, "published": published}).status == "done"
            house.put((1, 10, "a"), (2, 20, "b"))
            assert steps.plan(plan).status == "done"
            raise TerminalError(f"what was staged for {commit.plan_id} is gone")

    monkeypatch.setattr(memory, "MemoryDestination", Slow)
    assert steps.publish(arg).status == "terminal"
    state, _ = tables.load(house.state, "job", "t")
    assert state.pending is not None
    assert not state.pending.doomed


def test_a_commit_that_is_delivered_after_the_next_plan_was_made_is_made(house: House) -> None:
    """That plan too came from a delivery that was late."""
    steps, plan, arg = staged(house)
    commit = {**arg, "published": steps.publish(arg).value["published"]}
    assert steps.commit(commit).status == "done"
    house.put((1, 10, "a"), (2, 20, "b"))
    assert steps.plan(plan).status == "done"
    assert steps.commit(commit).status == "done"
    lease.release(house.state, "job", "r")
    assert house.run().tables[0].resumed is True
    assert [row[0] for row in house.rows()] == [1, 2]


def staged(house: House) -> tuple[Steps, JsonDict, JsonDict]:
    """A run that has staged a row of its table; what it was told to plan, and what to publish."""
    house.put((1, 10, "a"))
    steps, at = Steps(house.context()), {"run_id": "r", "table": "t"}
    assert steps.begin(RunRequest(run_id="r", job="job").to_json()).status == "done"
    plan = {**at, "full": False}
    arg = {**at, "plan_id": steps.plan(plan).value["plan_id"]}
    assert steps.copy_part({**arg, "part": 0}).status == "done"
    return steps, plan, arg


def test_a_beginning_that_is_delivered_after_the_end_does_not_take_the_job(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put((1, 10, "a"))
    run = Disturbed(house, "t")

    def busy(*_: object) -> None:
        raise TransientError("busy")

    monkeypatch.setattr(history, "begin", busy)
    assert run.steps.begin(run.calls[0][1]).status == "conflict"
    assert lease.holder_of(house.state, "job") is None


def test_a_run_that_was_closed_meanwhile_stays_closed(
    house: House, recorded: Callable[[], RunSummary]
) -> None:
    def close(_: Steps, name: str, __: JsonDict) -> None:
        if name == "finish":
            history.end(house.state, recorded().model_copy(update={"status": "cancelled"}))

    Disturbed(house, "a", before=close)
    assert recorded().status == "cancelled"
    assert lease.holder_of(house.state, "job") is None


def test_a_result_is_recorded_however_few_retries_the_job_allows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put((1, 10, "a"))
    house.settings["limits"] = {"retries": 0}
    real, refused = history.record_tables, [True]

    def once_busy(store: StateStore, run_id: str, results: Any) -> None:
        if refused.pop() if refused else False:
            raise TransientError("busy", retry_after=0.01)
        real(store, run_id, results)

    monkeypatch.setattr(history, "record_tables", once_busy)
    assert house.run().status == "succeeded"


@pytest.mark.parametrize("full", [False, True])
def test_a_table_that_died_between_its_commit_and_its_record_is_not_appended_again(
    desk: Desk, *, full: bool
) -> None:
    class Died(BaseException):
        pass

    def die(progress: Progress) -> None:
        if progress.event == "committed":
            raise Died

    desk.job("trial", "a", mode="full")
    service = desk.service()
    loaded = service.catalog.load("trial")
    context = Context(loaded.job, loaded.connections, desk.store, observe=die)
    with pytest.raises(Died):
        LocalRunner(context).run(run_id="killed", full=full)
    lease.release(desk.store, "trial", "killed")
    left = interrupted.left_open(service)
    assert left == ["killed"]
    now(interrupted.take_up(service, left))
    for run in history.runs(desk.store, "trial").runs:
        ended(service, run.run_id)
    assert desk.rows("trial-a") == list(range(5))


def test_names_of_tables_do_not_travel_with_every_message(house: House) -> None:
    names = [f"a_table_with_quite_a_long_name_{n:04d}" for n in range(300)]
    for name in names:
        house.put((1, 10, "a"), name=name)
    run = Disturbed(house, *names, tables=tuple(names))
    assert run.summary["status"] == "succeeded"
    sizes = {name: len(str(arg)) for name, arg in run.calls if name != "begin"}
    assert max(sizes.values()) < 5000


def test_each_thread_that_finds_the_lease_lost_names_its_own_table(house: House) -> None:
    owner = lease.Owner(run_id="r", holder="x")
    lease.claim(house.state, "job", 60, owner)
    lease.ask_to_stop(house.state, "job", "r")
    with lease.Heartbeat(house.state, "job", 60, "r", look=0.01) as beat:
        while not isinstance(beat.lost, Cancelled):
            pass

    def check() -> JsonDict:
        beat.check()
        return {}

    errors = [outcome_of(check, job="job", table=table).error for table in ("a", "b")]
    assert [error["where"]["table"] for error in errors if error] == ["a", "b"]


def test_what_others_ask_for_has_bounds() -> None:
    assert flow.backoff(0, "seed", retry_after=86_400) == 300
    assert len(TerminalError("x" * 1_000_000).what) < 20_000


def test_what_a_run_appends_while_another_goes_on_with_it_is_not_appended_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for dead, and was only asleep."""
    desk.job("trial", "a", mode="full")
    service = desk.service()
    loaded = service.catalog.load("trial")
    context = Context(loaded.job, loaded.connections, desk.store)
    asleep = died(desk)
    once(monkeypatch, runs, "_rest", then(lambda: LocalRunner(context).run(run_id=asleep)))
    request = now(runs.resume(service, asleep))
    assert statuses(ended(service, request.run_id)) == {"a": "unchanged"}
    assert desk.rows("trial-a") == list(range(5))


@pytest.mark.parametrize("killed_at", ["TableSteps._clean", "history.record_tables"])
def test_what_was_appended_whole_is_not_appended_again_however_many_runs_go_on_with_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    """The first died before it recorded the table, the second before it planned it."""

    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    desk.job("trial", "a", mode="full")
    desk.job("busy", "endless")
    service = desk.service(at_once=1)
    loaded = service.catalog.load("trial")
    context = Context(loaded.job, loaded.connections, desk.store)
    with monkeypatch.context() as patch:
        patch.setattr(f"copy_core.steps.{killed_at}", die)
        with pytest.raises(Died):
            LocalRunner(context).run(run_id="first")
    lease.release(desk.store, "trial", "first")
    desk.start(service, "busy")  # until it ends, others wait for their turn
    second = now(runs.resume(service, "first"))
    stop(service)
    assert desk.rows("trial-a") == list(range(5))
    third = now(runs.resume(desk.service(), second.run_id))
    assert statuses(ended(service, third.run_id)) == {"a": "unchanged"}
    assert desk.rows("trial-a") == list(range(5))


def test_a_whole_copy_that_was_appended_is_not_planned_again_by_a_late_delivery(
    house: House,
) -> None:
    house.settings = {"mode": "full", "write": "append"}
    steps, plan, arg = staged(house)
    commit = {**arg, "published": steps.publish(arg).value["published"]}
    assert steps.commit(commit).status == "done"
    assert steps.plan(plan).value["unchanged"]
    lease.release(house.state, "job", "r")
    assert house.one().resumed is False
    assert [row[0] for row in house.rows()] == [1, 1]  # each run appends the whole once

"""The harness can fail: each test plants a fault that breaks a promise, and wants it reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pyarrow as pa
import pytest

from copy_core.connectors import memory
from copy_core.connectors.base import TableInfo
from copy_core.connectors.memory import MemoryDestination, MemorySource, MemoryStore, Stored
from copy_core.errors import TransientError
from copy_core.model import Commit, JsonDict, Outcome, Published, Slice
from copy_core.runners import local
from copy_core.state import lease, tables
from copy_core.steps import Steps
from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.look import Violation
from tests.crash.memory import MemoryHouse
from tests.crash.ops import APPEND, DoRun, Insert, Meanwhile, Op
from tests.crash.play import Play

pytestmark = pytest.mark.timeout(900)

Schedule = Callable[[int], list[Op]]
POINTS = range(1, 130)
NEVER = (10_000,)


def killed(at: int) -> list[Op]:
    return [Insert(4), DoRun(), Insert(3), DoRun(kill=at)]


def disturbed(by: Meanwhile) -> Schedule:
    return lambda at: [Insert(4), DoRun(), Insert(3), DoRun(meanwhile=((at, by),))]


def reported(schedule: Schedule, points: Iterable[int] = POINTS) -> set[str]:
    """The kinds of violations that are reported when something happens at any of the points."""
    kinds = set()
    for point in points:
        house = MemoryHouse(dict(APPEND))
        try:
            Play(house).play(schedule(point))
        except Violation as e:
            kinds.add(e.kind)
        finally:
            house.close()
    return kinds


@pytest.mark.parametrize("schedule", [killed, disturbed(Insert())], ids=["kills", "inserts"])
def test_nothing_is_reported_where_there_is_no_fault(schedule: Schedule) -> None:
    assert reported(schedule) == set()


def test_a_slow_machine_has_no_other_points(monkeypatch: pytest.MonkeyPatch) -> None:
    check, beaten, here = lease.check, threading.Event(), threading.current_thread()

    def checked(*args: Any) -> lease.Lease:
        held = check(*args)
        if threading.current_thread() is not here:
            beaten.set()
        return held

    def wait_for_it() -> None:
        beaten.wait()

    house = MemoryHouse(dict(APPEND))
    try:
        house.run()
        points = house.run().points
        monkeypatch.setattr(lease, "check", checked)
        monkeypatch.setattr(lease, "Heartbeat", partial(lease.Heartbeat, look=0.001))
        slow = house.run(happenings=[(points // 2, wait_for_it)])
    finally:
        house.close()
    assert slow.points == points


class VisibleFirst(MemoryDestination):
    """Shows the rows of a part when it is staged: outside of the step that writes the ledger."""

    def stage(self, *args: Any) -> Any:
        staged = super().stage(*args)
        target = args[0]
        (key,) = [key for key in self._store.staged if key.token == staged.ref["token"]]
        rows = self._store.staged[key]
        old = self._store.tables.get(target.object, Stored(rows.schema.empty_table()))
        self._store.put(target.object, pa.concat_tables([old.rows, rows]))
        self._store.staged[key] = rows
        return staged

    def publish(self, commit: Commit) -> Published:
        rows = self._store.tables[commit.target.object]
        published = super().publish(commit)
        self._store.tables[commit.target.object] = rows
        return published


def test_rows_that_are_visible_before_their_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MemoryDestination", VisibleFirst)
    assert "undue" in reported(killed)
    assert not reported(killed, NEVER)


class WatermarkFirst(Steps):
    """Commits the watermark, and then publishes."""

    def publish(self, arg: JsonDict) -> Outcome:
        store, job = self.context.store, self.context.job.name
        state, etag = tables.load(store, job, arg["table"])
        assert state.pending is not None
        reached = {
            "watermark": state.pending.window.watermark,
            "sequence": state.pending.target.sequence,
        }
        tables.save(store, job, state.model_copy(update=reached), etag)
        return super().publish(arg)


def test_a_watermark_that_moves_before_the_rows_are_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "Steps", WatermarkFirst)
    assert "ahead" in reported(killed)
    assert not reported(killed, NEVER)


class NewestLast(MemorySource):
    """Looks up the newest value after it has looked at the rows."""

    seen: pa.Table

    def describe(self, name: str, query: str = "") -> TableInfo:
        NewestLast.seen = self._rows(name)
        return super().describe(name, query)

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        now = self._store.tables[part.object]
        self._store.put(part.object, NewestLast.seen, now.keys)
        try:
            batches = list(super().read(part, batch_rows))
        finally:
            self._store.put(part.object, now.rows, now.keys)
        yield from batches


def test_a_bound_that_is_looked_up_after_the_rows_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MemorySource", NewestLast)
    assert "lost" in reported(disturbed(Insert()))
    assert not reported(disturbed(Insert()), NEVER)


class AnswersLate(MemoryDestination):
    """Publishes, but the first answer of each commit is lost."""

    # The stores themselves: the id of one that is gone may be that of the next.
    lost: ClassVar[set[tuple[MemoryStore, int]]] = set()

    def publish(self, commit: Commit) -> Published:
        published = super().publish(commit)
        answer = (self._store, commit.target.sequence)
        if answer not in self.lost:
            self.lost.add(answer)
            raise TransientError("the connection broke before the answer came")
        return published


class Forgetful(AnswersLate):
    """Publishes whatever the ledger says."""

    def publish(self, commit: Commit) -> Published:
        target = commit.target
        self._commits(target.object, target.job, target.table).pop(target.sequence, None)
        return super().publish(commit)


def test_a_ledger_that_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MemoryDestination", AnswersLate)
    assert not reported(killed, NEVER)
    monkeypatch.setattr(memory, "MemoryDestination", Forgetful)
    assert reported(killed, NEVER) == {"doubled"}


def test_a_run_that_dies_by_itself_is_no_planned_kill(tmp_path: Path, children: Children) -> None:
    def crash() -> None:
        # Not any that is stopped: others below this process come and go while they are looked at.
        [run] = psutil.Process(children._zygote.pid).children()
        run.send_signal(signal.SIGTERM)

    house = House(tmp_path, children, ("sqlite", "sqlite"), dict(APPEND))
    with pytest.raises(AssertionError, match="SIGTERM"):
        house.run(happenings=[(1, crash)])

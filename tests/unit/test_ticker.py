"""What a tick starts, whatever was missed, doubled, taken or killed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import sleep
from uuid import uuid4

import pyarrow as pa
import pytest

from copy_core.connectors import memory
from copy_core.errors import ConflictError, TransientError
from copy_core.model import RunRequest
from copy_core.runners.launcher import LocalLauncher
from copy_core.service import ticker
from copy_core.service.service import Service
from copy_core.state import lease
from tests.unit.engine import Died, Place, Watched

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOURLY = "[{cron: 0 * * * *}]"
QUEUED = "[{cron: 0 * * * *, overlap: queue}]"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.store.close()


def tick(service: Service, now: datetime) -> list[RunRequest]:
    return asyncio.run(ticker.tick(service, now))


def seen(place: Place, schedules: str = HOURLY, name: str = "shop") -> None:
    """Has the service know a job before noon."""
    place.job(name, schedules=schedules)
    assert tick(place.service, NOON - 30 * MINUTE) == []


# What is due


def test_what_is_due_is_started_and_nothing_before(place: Place) -> None:
    seen(place)
    assert tick(place.service, NOON - MINUTE) == []
    (request,) = tick(place.service, NOON + timedelta(seconds=2))
    assert (request.job, request.trigger, request.tables) == ("shop", "schedule", None)
    assert request.run_id.startswith("20261122T120000-")
    assert place.engine.started == [request]
    place.engine.run(request)
    assert tick(place.service, NOON + MINUTE) == []


def test_missed_ticks_are_one_run(place: Place) -> None:
    seen(place)
    (request,) = tick(place.service, NOON + timedelta(days=3, minutes=20))
    assert request.run_id.startswith("20261125T120000-")


def test_schedules_that_fall_due_together_are_one_run(place: Place) -> None:
    seen(place, "[{cron: 0 12 * * *}, {cron: '0 */20 * * * *'}, {cron: 10 3 * * *}]")
    assert len(tick(place.service, NOON)) == 1


def test_jobs_that_fall_due_together_have_runs_of_their_own(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.job(name, schedules=HOURLY)
    assert [r.job for r in tick(place.service, NOON)] == ["a", "b", "c"]
    assert len(set(place.engine.ids)) == 3


def test_a_job_that_was_never_seen_is_not_caught_up(place: Place) -> None:
    place.job("shop", schedules=HOURLY)
    assert tick(place.service, NOON + 2 * MINUTE) == []
    assert len(tick(place.service, NOON + 60 * MINUTE)) == 1


def test_a_schedule_set_for_the_next_minute_is_not_missed(place: Place) -> None:
    place.job("shop", schedules=HOURLY)  # after the tick of 11:59
    assert len(tick(place.service, NOON)) == 1


def test_a_schedule_that_was_changed_is_not_caught_up(place: Place) -> None:
    seen(place, "[{cron: 0 3 * * *}]")
    place.job("shop", schedules=HOURLY)
    assert tick(place.service, NOON + 20 * MINUTE) == []
    assert len(tick(place.service, NOON + 60 * MINUTE)) == 1


def test_a_job_without_schedules_is_left_alone(place: Place) -> None:
    place.job("shop")
    assert tick(place.service, NOON) == []
    assert place.store.list("shop") == []


def test_a_quiet_tick_writes_nothing(place: Place) -> None:
    seen(place)
    before = place.store.list("shop")
    tick(place.service, NOON - MINUTE)
    assert place.store.list("shop") == before


def test_a_clock_that_was_set_back_doubles_nothing(place: Place) -> None:
    seen(place)
    (request,) = tick(place.service, NOON)
    place.engine.run(request)
    assert tick(place.service, NOON - MINUTE) == []
    assert tick(place.service, NOON + MINUTE) == []


# Doubled and killed ticks


def test_a_doubled_tick_starts_nothing_twice(place: Place) -> None:
    seen(place)
    assert len(tick(place.service, NOON)) == 1
    assert tick(place.service, NOON) == []
    assert tick(place.service, NOON + timedelta(seconds=59)) == []


def test_of_many_ticks_at_once_one_does_the_work(place: Place) -> None:
    for name in "abcdefgh":
        place.job(name, schedules=HOURLY)
    tick(place.service, NOON - 30 * MINUTE)

    async def several() -> list[list[RunRequest]]:
        services = [place.over(place.store) for _ in range(6)]
        return await asyncio.gather(*(ticker.tick(service, NOON) for service in services))

    started = [request for each in asyncio.run(several()) for request in each]
    assert sorted(request.job for request in started) == list("abcdefgh")
    assert len(place.engine.ids) == 8


def test_a_run_that_could_not_be_started_is_started_by_a_later_tick(place: Place) -> None:
    seen(place)
    place.engine.down = True
    assert tick(place.service, NOON) == []
    assert tick(place.service, NOON + MINUTE) == []
    place.engine.down = False
    (request,) = tick(place.service, NOON + 2 * MINUTE)
    assert request.run_id.startswith("20261122T120000-")


@pytest.mark.parametrize("held", ["", "skip", "queue"], ids=["free", "skip", "queue"])
def test_wherever_a_tick_is_killed_the_next_ones_do_its_work_once(
    tmp_path: Path, held: str
) -> None:
    for last_call in count(1):
        folder = tmp_path / str(last_call)
        folder.mkdir()
        place = Place(folder)
        seen(place, QUEUED if held == "queue" else HOURLY)
        other = RunRequest(run_id="other", job="shop")
        if held:
            asyncio.run(place.engine.start(other))
            place.engine.begin(other)
        calls = count(1)

        def die(_: str, calls: count[int] = calls, last: int = last_call) -> None:
            if next(calls) >= last:
                raise Died

        survived = False
        try:
            tick(place.over(Watched(place.store, die)), NOON)
            survived = True
        except Died:
            pass
        tick(place.service, NOON + MINUTE)
        if held:
            place.engine.end(other)
        tick(place.service, NOON + 2 * MINUTE)
        tick(place.service, NOON + 3 * MINUTE)
        due = [run for run in place.engine.started if run.trigger == "schedule"]
        skipped = [run for run in place.history() if run.status == "skipped"]
        assert (len(due), len(skipped)) == ((0, 1) if held == "skip" else (1, 0))
        names = [run.run_id for run in due] + [run.run_id for run in skipped]
        assert names[0].startswith("20261122T120000-")
        place.store.close()
        if survived:
            assert last_call > 5
            return


def test_killed_while_the_launcher_starts_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(place)
    start = place.engine.start

    async def killed(request: RunRequest) -> bool:
        await start(request)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(place.engine, "start", killed)
        with pytest.raises(Died):
            tick(place.service, NOON)
    assert tick(place.service, NOON + MINUTE) == []
    assert len(place.engine.ids) == 1


# Jobs that are being run


def running(place: Place) -> RunRequest:
    """A run by hand that holds the job."""
    request = RunRequest(run_id="by-hand", job="shop")
    asyncio.run(place.engine.start(request))
    place.engine.begin(request)
    return request


def test_a_job_that_is_being_run_is_skipped_and_that_is_recorded(place: Place) -> None:
    seen(place)
    hand = running(place)
    assert tick(place.service, NOON) == []
    (skipped,) = [run for run in place.history("shop") if run.status == "skipped"]
    assert skipped.run_id.startswith("20261122T120000-")
    assert (skipped.trigger, skipped.started_at) == ("schedule", "2026-11-22T12:00:00.000+00:00")
    assert skipped.error is not None
    assert "run by-hand (the engine) until" in skipped.error["message"]
    assert "overlap: queue" in skipped.error["fix"]
    place.engine.end(hand)
    assert tick(place.service, NOON + MINUTE) == []
    assert len(tick(place.service, NOON + 60 * MINUTE)) == 1


def test_a_run_that_has_ended_holds_no_other_up_before_it_lets_go(place: Place) -> None:
    seen(place)
    hand = running(place)
    place.engine.end(hand)
    lease.claim(place.store, "shop", 60, lease.Owner(run_id=hand.run_id, holder="the engine"))
    assert len(tick(place.service, NOON)) == 1
    assert [run.status for run in place.history()] == ["succeeded"]


def test_under_overlap_queue_the_newest_waits_for_the_job(place: Place) -> None:
    seen(place, QUEUED)
    hand = running(place)
    for minutes in (0, 1, 60, 121):
        assert tick(place.service, NOON + minutes * MINUTE) == []
    place.engine.end(hand)
    (request,) = tick(place.service, NOON + 122 * MINUTE)
    assert request.run_id.startswith("20261122T140000-")
    place.engine.run(request)
    assert tick(place.service, NOON + 123 * MINUTE) == []
    assert [run.status for run in place.history("shop")] == ["succeeded", "succeeded"]


def test_a_run_that_has_not_begun_yet_holds_the_job(place: Place) -> None:
    place.job("shop", schedules="[{cron: '* * * * *'}]")
    (request,) = tick(place.service, NOON)
    assert tick(place.service, NOON + 2 * MINUTE) == []
    (skipped,) = place.history("shop")
    assert skipped.error is not None
    assert f"run {request.run_id}, which is about to begin" in skipped.error["message"]
    place.engine.run(request)
    assert len(tick(place.service, NOON + 3 * MINUTE)) == 1


def test_a_run_that_found_its_job_taken_waits_again(place: Place) -> None:
    seen(place, QUEUED)
    (request,) = tick(place.service, NOON)
    hand = running(place)
    place.engine.begin(request)  # and ends there
    assert tick(place.service, NOON + MINUTE) == []
    place.engine.end(hand)
    assert tick(place.service, NOON + 2 * MINUTE) == []  # finds that its id is used up
    (again,) = tick(place.service, NOON + 3 * MINUTE)
    assert again.run_id.startswith("20261122T120000-")
    assert again.run_id != request.run_id
    place.engine.run(again)
    assert tick(place.service, NOON + 4 * MINUTE) == []


@pytest.mark.parametrize("schedules", [HOURLY, QUEUED], ids=["skip", "queue"])
def test_a_launcher_that_finds_the_job_taken_decides(
    place: Place, schedules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(place, schedules)

    async def taken(request: RunRequest) -> bool:
        raise ConflictError("the job is being run already", holder="run by-hand", job=request.job)

    with monkeypatch.context() as patch:
        patch.setattr(place.engine, "start", taken)
        assert tick(place.service, NOON) == []
    found = tick(place.service, NOON + MINUTE)
    assert [r.run_id[:15] for r in found] == ["20261122T120000"] * (schedules == QUEUED)
    assert [run.status for run in place.history()] == ["skipped"] * (schedules == HOURLY)


def test_a_run_that_was_carried_elsewhere_before_its_job_was_taken_is_not_skipped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(place)

    start = place.engine.start

    async def late(request: RunRequest) -> bool:
        await start(request)
        place.engine.begin(request)
        place.engine.end(request)
        raise ConflictError("the job is being run already", holder="run by-hand", job=request.job)

    monkeypatch.setattr(place.engine, "start", late)
    assert tick(place.service, NOON) == []
    assert [run.status for run in place.history()] == ["succeeded"]


def test_on_one_machine_the_run_is_in_the_history(place: Place) -> None:
    key = uuid4().hex
    memory.store(f"{key}-shop").put("orders", pa.table({"id": [1, 2, 3]}), ["id"])
    (place.folder / "connections.yaml").write_text(
        f"connections: {{shop: {{type: memory, name: {key}-shop}},"
        f" lake: {{type: memory, name: {key}-lake}}}}"
    )
    place.job("shop", schedules="[{cron: 0 12 * * *}]")
    launcher = LocalLauncher(place.service.catalog.load, place.store)
    service = replace(place.service, launcher=launcher)
    (request,) = tick(service, NOON)
    assert tick(service, NOON) == []
    while place.history()[0].status == "running":
        sleep(0.01)
    launcher.stop()
    assert tick(service, NOON + 2 * MINUTE) == []
    (run,) = place.history()
    assert (run.run_id, run.trigger, run.status) == (request.run_id, "schedule", "succeeded")
    assert memory.store(f"{key}-lake").read("orders").num_rows == 3


# Trouble with one job


def test_a_broken_job_is_logged_and_does_not_stop_the_others(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.job("a", schedules="[{cron: 0 0 30 2 *}]")
    (place.folder / "b.yaml").write_text("name: b\nsour")
    place.job("c", schedules=HOURLY)
    with caplog.at_level(logging.WARNING):
        assert [r.job for r in tick(place.service, NOON)] == ["c"]
    assert "nothing of job a can be started" in caplog.text
    assert "no moment is described by this cron expression" in caplog.text
    assert "nothing of job b can be started" in caplog.text


def test_a_state_that_fails_for_one_job_does_not_stop_the_others(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        place.job(name, schedules=HOURLY)
    tick(place.service, NOON - 30 * MINUTE)

    def busy(partition: str) -> None:
        if partition == "b":
            raise TransientError("the server is busy")

    with caplog.at_level(logging.WARNING):
        started = tick(place.over(Watched(place.store, busy)), NOON)
    assert [request.job for request in started] == ["a", "c"]
    assert "nothing of job b can be started: the server is busy" in caplog.text
    assert [request.job for request in tick(place.service, NOON + MINUTE)] == ["b"]


def test_a_fault_of_ours_in_one_job_is_logged_with_its_trace(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        place.job(name, schedules=HOURLY)

    def fault(partition: str) -> None:
        if partition == "a":
            raise ZeroDivisionError

    started = tick(place.over(Watched(place.store, fault)), NOON)
    assert [request.job for request in started] == ["b"]
    assert "ZeroDivisionError" in caplog.text


def test_the_state_of_two_ticks_survives_daylight_saving(place: Place) -> None:
    place.job("shop", schedules="[{cron: 30 2 * * *, timezone: Europe/Berlin}]")
    night = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    started = []
    for minutes in range(6 * 60):
        for request in tick(place.service, night + minutes * MINUTE):
            place.engine.run(request)
            started.append(request.run_id[:15])
    assert started == ["20261025T003000"]

"""How late a job is said to be, whatever its runs, its ticks and its definition went through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from copy_core.errors import ConfigError, TransientError
from copy_core.model import RunRequest, RunStatus, RunSummary
from copy_core.run_ids import resumed_as
from copy_core.service import ticker, waiting
from copy_core.service.service import Service
from copy_core.state import history
from tests.unit.collected import collector
from tests.unit.engine import Place, Watched

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOURLY = "[{cron: 0 * * * *}]"
DAILY = "[{cron: 0 12 * * *}]"

_numbers = count()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Place]:
    """A service without a job."""
    place = Place(tmp_path)
    yield place
    place.store.close()


@pytest.fixture
def place(new: Place) -> Place:
    """A service that has known a job before it comes due at noon, once a day."""
    new.job("shop", schedules=DAILY)
    asyncio.run(ticker.tick(new.service, NOON - 30 * MINUTE))
    return new


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + minutes * MINUTE


def ticked(
    place: Place, minutes: float, name: str = "copyjob.job.lateness", service: Service | None = None
) -> dict[str, float]:
    """What a tick tells in a metric, by job."""
    collector().forget()
    asyncio.run(ticker.tick(service or place.service, at(minutes)))
    found = collector().metrics().get(name, [])
    return {about["copyjob.job"]: value for about, value in found}


def late(place: Place, minutes: float) -> float | None:
    """How many minutes the job is late, as a tick tells; None when it is on time."""
    seconds = ticked(place, minutes).get("shop")
    return None if seconds is None else seconds / 60


def ran(
    place: Place,
    began: float,
    ended: float | None,
    status: RunStatus = "succeeded",
    *,
    trigger: str = "manual",
    tables: tuple[str, ...] | None = None,
    resumes: str = "",
) -> str:
    """Records a run by its minutes after noon; one without an end is under way."""
    run_id = resumed_as(resumes) if resumes else f"run{next(_numbers):05}"
    trigger = "resume" if resumes else trigger
    request = RunRequest(run_id=run_id, job="shop", trigger=trigger, tables=tables)
    if status not in ("skipped", "conflict"):
        history.begin(place.store, request, 1, at(began))
    if ended is not None:
        finish(place, request, began, ended, status)
    return run_id


def finish(
    place: Place, request: RunRequest, began: float, ended: float, status: RunStatus = "succeeded"
) -> None:
    summary = RunSummary(
        run_id=request.run_id,
        job=request.job,
        trigger=request.trigger,
        status=status,
        started_at=at(began).isoformat(),
        ended_at=at(ended).isoformat(),
    )
    history.end(place.store, summary)


# What counts as late


def test_a_job_is_late_from_when_it_fell_due_until_a_run_has_succeeded(place: Place) -> None:
    assert late(place, -1) is None
    assert late(place, 0) == 0
    assert late(place, 1) == 1
    ran(place, 0.1, None, trigger="schedule")
    assert late(place, 2) == 2
    ran(place, 0.1, 2.5, trigger="schedule")
    assert late(place, 3) is None
    assert late(place, 24 * 60 + 5) == 5


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted", "conflict", "skipped"])
def test_only_a_run_that_succeeds_answers(place: Place, status: RunStatus) -> None:
    ran(place, 1, 2, status, trigger="schedule")
    assert late(place, 60) == 60
    ran(place, 70, 80)
    assert late(place, 90) is None


def test_a_job_that_nobody_starts_is_late(place: Place) -> None:
    place.engine.down = True
    assert late(place, 0.1) == pytest.approx(0.1)
    assert late(place, 600) == 600


def test_a_run_that_had_ended_before_does_not_answer(place: Place) -> None:
    ran(place, -10, -1)
    assert late(place, 5) == 5


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_that_was_under_way_answers_once_it_has_succeeded(new: Place, overlap: str) -> None:
    new.job("shop", schedules=f"[{{cron: 0 12 * * *, overlap: {overlap}}}]")
    assert late(new, -30) is None
    hand = RunRequest(run_id="by-hand", job="shop")
    asyncio.run(new.engine.start(hand))
    new.engine.begin(hand)
    assert late(new, 5) == 5
    new.engine.end(hand)  # by the clock on the wall, which is after that noon
    assert late(new, 6) is None


def test_a_run_of_some_tables_answers_nothing(place: Place) -> None:
    ran(place, 1, 2, tables=("orders",))
    assert late(place, 3) == 3
    ran(place, 4, 5)
    ran(place, 6, 7, "failed")
    ran(place, 8, 9, tables=("orders",))
    assert late(place, 10) is None


def test_it_is_the_oldest_moment_that_counts(new: Place) -> None:
    new.job("shop", schedules=HOURLY)
    assert late(new, -30) is None
    assert late(new, 0) == 0
    assert late(new, 130) == 130
    ran(new, 1, 65)  # answers noon and 13:00, and is found after 14:00
    assert late(new, 131) == 11
    ran(new, 132, 133)
    assert late(new, 134) is None


def test_missed_ticks_are_told_by_the_first_one(place: Place) -> None:
    assert late(place, 3 * 24 * 60) == 3 * 24 * 60


# Runs that went on with another


def test_a_run_that_was_gone_on_with_answers_what_fell_due_before_it_began(place: Place) -> None:
    late(place, 0)
    first = ran(place, 1, 2, "interrupted", trigger="schedule")
    second = ran(place, 3, 4, "failed", tables=("orders",), resumes=first)
    assert late(place, 5) == 5
    ran(place, 6, 7, tables=("orders",), resumes=second)
    assert late(place, 8) is None


def test_it_does_not_answer_what_fell_due_after_it_began(place: Place) -> None:
    first = ran(place, -5, 1, "failed")
    assert late(place, 2) == 2
    ran(place, 3, 4, tables=("orders",), resumes=first)
    assert late(place, 5) == 5


def test_what_was_answered_stays_so_when_an_older_run_is_gone_on_with(new: Place) -> None:
    new.job("shop", schedules=HOURLY)
    late(new, -90)
    first = ran(new, -85, -80, "failed")
    ran(new, -50, -40)
    assert late(new, -30) is None
    ran(new, 3, 4, tables=("orders",), resumes=first)
    assert late(new, 5) == 5


def test_what_goes_on_with_a_run_of_some_tables_answers_nothing(place: Place) -> None:
    first = ran(place, 1, 2, "failed", tables=("orders",))
    ran(place, 3, 4, resumes=first)
    assert late(place, 5) == 5


@pytest.mark.parametrize("skipped", [48, 49, 50, 120])  # at the edges of a page, and over several
def test_a_run_is_found_however_many_were_skipped_while_it_went_on(
    place: Place, skipped: int
) -> None:
    first = ran(place, 1, 2, "failed", trigger="schedule")
    ran(place, 3, 200, resumes=first)
    for number in range(skipped):
        ran(place, 4 + number, 4 + number, "skipped", trigger="schedule")
    assert late(place, 201) is None


# Schedules that change


def test_changed_schedules_begin_anew(place: Place) -> None:
    assert late(place, 60) == 60
    place.job("shop", schedules="[{cron: 30 13 * * *}]")
    assert late(place, 61) is None
    assert late(place, 95) == 5


def test_the_last_moment_of_a_schedule_is_owed_until_it_is_answered(new: Place) -> None:
    new.job("shop", schedules="[{cron: 0 * * * *, end: 2026-11-22T12:30:00}]")
    late(new, -30)
    assert late(new, 24 * 60) == 24 * 60
    ran(new, 24 * 60, 24 * 60 + 1)
    assert late(new, 24 * 60 + 2) is None
    assert late(new, 48 * 60) is None


def test_a_job_without_schedules_is_never_late(new: Place) -> None:
    new.job("shop", watch="[in/*.csv]")
    assert late(new, 0) is None
    assert late(new, 600) is None


def test_the_hour_that_is_repeated_makes_nobody_late(new: Place) -> None:
    new.job("shop", schedules="[{cron: 30 2 * * *, timezone: Europe/Berlin}]")
    night = (datetime(2026, 10, 24, 23, 0, tzinfo=UTC) - NOON) / MINUTE
    told = []
    for minute in range(6 * 60):
        told.append(late(new, night + minute))
        if told[-1] == 10:
            ran(new, night + minute, night + minute + 0.5)
    assert [minutes for minutes in told if minutes is not None] == [*range(11)]


def test_after_a_clock_was_ahead_lateness_goes_on_from_now_too(place: Place) -> None:
    ahead = 10 * 24 * 60
    assert late(place, ahead) == ahead
    assert late(place, 5) == 5
    assert late(place, 6) is None
    assert late(place, 24 * 60) == 0
    assert late(place, 24 * 60 + 5) == 5


def test_what_an_earlier_version_remembered_is_gone_on_with(place: Place) -> None:
    waiting.change(place.store, "shop", lambda found: found.model_copy(update={"owed": None}))
    assert late(place, -1) is None
    assert late(place, 7) == 7


# Trouble


def test_a_job_of_which_nothing_can_be_started_is_counted_at_each_tick(place: Place) -> None:
    (place.folder / "broken.yaml").write_text("name: broken\nsour")
    place.job("never", schedules="[{cron: 0 0 30 2 *}]")
    for minute in (1, 2):
        failed = ticked(place, minute, "copyjob.job.failures")
        assert failed == {"broken": 1, "never": 1}
    collector().forget()
    ticker.report("shop", ConfigError("no", code="some-code"))
    (told,) = collector().metrics()["copyjob.job.failures"]
    assert told == ({"copyjob.job": "shop", "error.type": "some-code"}, 1)


def test_a_state_that_does_not_answer_is_counted(place: Place) -> None:
    def busy(_: str) -> None:
        raise TransientError("the server is busy")

    service = place.over(Watched(place.store, busy))
    assert ticked(place, 1, "copyjob.job.failures", service) == {"shop": 1}


def test_a_record_that_cannot_be_read_keeps_no_run_from_being_started(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.store.put(history.of_job("shop"), "0", {"no": "header"})
    with caplog.at_level(logging.WARNING):
        assert late(place, 1) == 1
    assert len(place.engine.started) == 1
    assert "whether a run has answered what fell due of shop cannot be told" in caplog.text


def test_each_tick_tells_how_long_it_took(place: Place) -> None:
    def ticks() -> list[float]:
        return [value for _, value in collector().metrics().get("copyjob.tick.duration", [])]

    collector().forget()
    asyncio.run(ticker.tick(place.service, NOON))
    (seconds,) = ticks()
    assert seconds > 0
    (place.folder / "shop.yaml").unlink()
    asyncio.run(ticker.tick(place.service, at(1)))
    assert len(ticks()) == 1


def test_a_tick_that_cannot_see_the_jobs_is_none(place: Place, tmp_path: Path) -> None:
    place.folder.rename(tmp_path / "gone")
    collector().forget()
    with pytest.raises(ConfigError):
        asyncio.run(ticker.tick(place.service, NOON))
    assert "copyjob.tick.duration" not in collector().metrics()


# What it costs


def calls(place: Place, minutes: float) -> int:
    """How often a tick asks the state for something."""
    asked: list[str] = []
    asyncio.run(ticker.tick(place.over(Watched(place.store, asked.append)), at(minutes)))
    return len(asked)


def test_a_job_that_is_on_time_costs_one_look(place: Place) -> None:
    ran(place, -50, -40)
    assert calls(place, -1) == 1
    place.engine.run(asyncio.run(ticker.tick(place.service, NOON))[0])
    asyncio.run(ticker.tick(place.service, at(1)))
    assert calls(place, 2) == 1


def test_a_job_that_is_late_costs_one_more(place: Place) -> None:
    ran(place, -50, -40)
    for minute in range(20):
        ran(place, minute, minute + 0.5, "failed")
    (request,) = asyncio.run(ticker.tick(place.service, at(20)))
    history.begin(place.store, request, 1, at(20))
    finish(place, request, 20, 21, "failed")
    asyncio.run(ticker.tick(place.service, at(22)))
    assert calls(place, 23) == 2

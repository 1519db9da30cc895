"""What a schedule may not ask for: rules on its cron expression, time zone and dates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from copy_core.errors import ConfigError
from copy_core.job import Schedule
from copy_core.job_rules import Finding
from copy_core.job_shape import nearest


def check_schedules(schedules: Iterable[Schedule]) -> Iterator[Finding]:
    """Checks that a schedule can be read, and comes due at all."""
    for n, schedule in enumerate(schedules):
        known = schedule.timezone == "UTC" or schedule.timezone in _zones()
        if not known:
            close = nearest(schedule.timezone, _zones())
            yield Finding(
                ("schedules", n, "timezone"),
                "there is no such time zone",
                close if "?" in close else "use an IANA name such as Europe/Berlin",
            )
        readable = schedule if known else schedule.model_copy(update={"timezone": "UTC"})
        for key, what, fix in _schedule(readable):
            yield Finding(("schedules", n, key), what, fix)


@cache
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones())  # it looks at hundreds of files


def _schedule(schedule: Schedule) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a schedule: which key, what, and the fix."""
    from copy_core.service.schedule import Cron, bounds_of, first, moment_of

    faults = []
    for key, read in (("cron", Cron), ("start", moment_of), ("end", moment_of)):
        if (text := getattr(schedule, key)) is not None:
            try:
                read(text)
            except ConfigError as e:
                faults.append((key, e.what, e.fix[:1].lower() + e.fix[1:]))
    yield from faults
    if faults or first(schedule):
        return
    start, end = bounds_of(schedule)
    if first(schedule.model_copy(update={"start": None, "end": None})) is None:
        yield "cron", "no moment is described by this cron expression", "give it days that exist"
    elif end <= start:
        yield "end", "is before the start", "give a later one"
    else:
        yield "end", "comes before the schedule falls due for the first time", "give a later one"

"""Keeps records of runs for as long as the settings say.

Watermarks, and all else that a next run needs, are no records of runs: they are not touched.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from copy_core.logs import log
from copy_core.state import history_purge

if TYPE_CHECKING:
    from copy_core.service.service import Service
    from copy_core.state.base import StateStore

A_TICK = 200
"""Runs that `daily` removes at a time: a matter of seconds."""

PARTITION = "service/"
"""Where a service remembers what is of no job: a job's name holds no slash."""

_KEY = "purged"


async def daily(service: Service, now: datetime) -> None:
    """Removes the records of runs that ended more than `keep_days` ago: once a day, a little at
    each call, for a timer that ticks each minute and must not be kept from it.

    Args:
        service: whose runs.
        now: the time, with its zone.
    """
    before = now - timedelta(days=service.settings.keep_days)
    today = now.date().isoformat()
    if await asyncio.to_thread(_done_for, service.store, before, today):
        await service.launcher.purge(before)


def _done_for(store: StateStore, before: datetime, today: str) -> bool:
    """Removes some; whether that were the last, and nobody said so today before."""
    row = store.get(PARTITION, _KEY)
    if row is not None and row.value["day"] >= today:
        return False
    removed = history_purge.purge(store, before, A_TICK)
    if removed:
        log.info("removed the records of %d runs that ended before %s", removed, before)
    if removed == A_TICK:
        return False
    store.put(PARTITION, _KEY, {"day": today})
    return True

"""Forgets runs that ended long ago: their records go, the state of their tables stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from copy_core.state import history
from copy_core.state.encoding import parse

if TYPE_CHECKING:
    from copy_core.state.base import StateStore

_PAGE = 500


def purge(store: StateStore, before: datetime, limit: int | None = None) -> int:
    """Removes the records of runs that ended before a moment, the oldest first.

    A run that still has its job is left alone, however long ago it began. Doing this twice at the
    same time, or again after it broke off, does no harm.

    Args:
        store: where the records are.
        before: the moment, with its zone.
        limit: how many runs to remove at most.

    Returns:
        How many runs were removed.
    """
    removed = 0
    for key in reversed([*_began_before(store, before)]):
        if removed == limit:
            break
        row = store.get(history.ALL, key)
        if row is None:
            continue  # somebody else purges too
        # As it is now: it may have ended since it was listed.
        header = history.now(store, parse(history.RunHeader, row, store, history.ALL))
        if header.status == "running" or _ended_after(header, before):
            continue
        _forget(store, header, key)
        removed += 1
    return removed


def _began_before(store: StateStore, before: datetime) -> Iterator[str]:
    """The keys of runs in the list of all runs, the newest first, read a page at a time."""
    after = f"{(history.END - before) // timedelta(microseconds=1):018d}/"
    while page := store.list(history.ALL, after=after, limit=_PAGE):
        yield from (row.key for row in page)
        after = page[-1].key


def _ended_after(header: history.RunHeader, moment: datetime) -> bool:
    if not header.ended_at:
        return False  # it was interrupted
    ended = datetime.fromisoformat(header.ended_at)
    return (ended if ended.tzinfo else ended.replace(tzinfo=UTC)) >= moment


def _forget(store: StateStore, header: history.RunHeader, key: str) -> None:
    # The list of all runs last: a purge that breaks off finds there what it left. Until then the
    # lists can be read, since they hold the header themselves.
    store.delete_prefix(history.own(header.run_id), "")
    store.delete(history.of_job(header.job), key)
    store.delete(history.ALL, key)

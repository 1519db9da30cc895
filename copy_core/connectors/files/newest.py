"""The time of a file as incremental column: how far a window may reach, and what lies in it.

A window ends at the newest time of a listing. Two things could still come below that end after the
listing: a file of the very same instant, since a store's clock ticks in seconds or so, and on S3 an
object whose upload in parts began before. So the instant must be over before the window is fixed,
and the window ends below the oldest upload that is under way. What is listed after that, and lies
in the window, is all that there will ever be in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from copy_core.errors import TerminalError
from copy_core.job import FILE_MODIFIED, FILE_PATH
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store
    from copy_core.watermark import Window

__all__ = ["FILE_MODIFIED", "FILE_PATH", "instant", "nanoseconds", "newest", "within"]

log = logging.getLogger("copyjob")

_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).toordinal() * 86_400
# Whoever uploads for longer has died: signed requests, and roles, do not hold for a week.
_FORGOTTEN = 7 * 86_400 * _SECOND


def newest(
    store: Store, prefix: str, entries: Iterable[Entry], above: Watermark | None = None
) -> Watermark | None:
    """Up to where a window may reach that is listed from now on; waits a second at most.

    Args:
        store: where the files are.
        prefix: what the keys of the files begin with.
        entries: a listing of them.
        above: the watermark so far.

    Returns:
        A time; None when there is no file, or none above the watermark.

    Raises:
        TerminalError: an upload in parts was begun a week ago and never ended
            (`upload-unfinished`): the window could never reach beyond it.
    """
    top = max((entry.modified for entry in entries), default=None)
    if top is None or (above is not None and top <= nanoseconds(above)):
        return None
    over = store.now() - store.tick_ns
    if top > over:
        time.sleep(min(top - over, _SECOND) / _SECOND)
        over = store.now() - store.tick_ns
    if top > over + _SECOND:
        log.warning(
            "%s has files of times to come: they are copied when it is so late", store.label
        )
    top = min(top, over)
    # Only now: an upload that begins from here on has a later time than the window's end.
    begun = store.unfinished(prefix)
    if begun is not None and begun <= top:
        _check_living(store, begun)
        log.warning(
            "an upload to %s that began at %s is under way: what came later waits for it",
            store.label,
            instant(begun),
        )
        top = begun - 1
    return Watermark(kind="timestamp", value=instant(top))


def _check_living(store: Store, begun: int) -> None:
    if store.now() - begun > _FORGOTTEN:
        raise TerminalError(
            f"an upload in parts to {store.label} began at {instant(begun)} and never ended; newer"
            " files cannot be told from those that it may still bring",
            fix="Complete or abort it: aws s3api list-multipart-uploads shows it",
            code="upload-unfinished",
        )


def instant(modified: int) -> str:
    """Nanoseconds of the epoch as ISO 8601 in UTC, with as many digits as it takes."""
    seconds, fraction = divmod(modified, _SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".") + "Z"


def nanoseconds(watermark: Watermark) -> int:
    """A time as nanoseconds of the epoch."""
    return int((watermark.position() - _EPOCH) * _SECOND)


def within(window: Window) -> Callable[[int], bool]:
    """Whether a window on the time of files holds a time, nanoseconds of the epoch; a window on
    another column, or on none, holds every file.
    """
    if window.column != FILE_MODIFIED:
        return lambda _: True
    if window.high is None:
        return lambda _: False
    high = nanoseconds(window.high)
    low = None if window.low is None else nanoseconds(window.low)
    return lambda modified: (low is None or low < modified) and modified <= high

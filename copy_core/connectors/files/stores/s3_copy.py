"""Copies that S3 makes by itself, in one request or, of a large object, in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.s3_faults import guarded
from copy_core.connectors.files.stores.s3_upload import S3Upload, part_bytes

WHOLE = 5 << 30
"""How large an object may be, in bytes, that S3 copies in one request."""
PART = 512 << 20
"""How large the parts of larger ones are; nothing of them passes through this process."""

# How many parts of one object are copied at a time.
_THREADS = 8


def copy_in_parts(
    upload: S3Upload, entry: Entry, source: Mapping[str, Any], part: int, check: Callable[[], None]
) -> Entry:
    """Copies an object that S3 does not copy in one request.

    Args:
        upload: what it becomes.
        entry: the object.
        source: CopySource and CopySourceIfMatch.
        part: how large a part is at least, bytes.
        check: raises when the object must not appear any more.

    Raises:
        CopyJobError: the object changed or went away, or what else went wrong.
    """
    size = part_bytes(entry.size, part)

    def copy_from(start: int) -> None:
        end = min(start + size, entry.size)
        span = {"CopySourceRange": f"bytes={start}-{end - 1}"}
        with guarded("s3:GetObject", entry.key):
            upload.copy(start // size, end - start, {**source, **span})

    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(copy_from, range(0, entry.size, size)))
        check()
        return upload.complete()
    except BaseException:
        upload.abandon()
        raise

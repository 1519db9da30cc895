"""Writes small objects of S3 in one request, on a condition where one is set."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from copy_core.connectors.files.store import ANYTHING, NOTHING, Entry
from copy_core.connectors.files.stores.s3_entries import quoted, written
from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, translate
from copy_core.errors import ConflictError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TRIES = 4


def put(
    client: S3Client, request: Mapping[str, Any], key: str, data: bytes, replacing: str | None
) -> Entry:
    """Does what `copy_core.connectors.files.store.Store.put` promises.

    boto3 repeats a put whose answer is lost. If that put had been made, the condition of the second
    is not met: a conflict may be with oneself, so look before you believe it.

    Args:
        client: the client to use.
        request: Bucket, Key and what to keep beside the bytes.
        key: its key below the root.
        data: its bytes.
        replacing: the etag that the object there must have; `NOTHING`, or `ANYTHING`.
    """
    condition: dict[str, Any] = {}
    if replacing == NOTHING:
        condition = {"IfNoneMatch": "*"}
    elif replacing is not ANYTHING:
        condition = {"IfMatch": quoted(replacing)}
    tries = _TRIES
    while True:
        try:
            return written(key, len(data), client.put_object(**request, **condition, Body=data))
        except FAILURES as e:
            error, tries = translate(e, "s3:PutObject").at(file=key), tries - 1
            if condition and error.code in ("file-changed", "file-moved"):
                raise ConflictError(
                    "another has written the object meanwhile",
                    fix="Look for another run that writes there",
                    code="etag-changed",
                    file=key,
                ) from e
            if code_of(e) != "ConditionalRequestConflict" or not tries:
                raise error from e
        time.sleep(0.1)  # another put is under way, and may yet fail: the service cannot tell

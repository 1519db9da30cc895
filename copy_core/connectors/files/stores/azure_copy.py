"""Moves within a container, whose copies the service makes by itself.

A move is done while others make the same one. Up to 256 MiB the service copies in one step, and a
reader sees the old bytes or the new. What is larger may take its time: then only one copy is under
way, and nobody removes the source before it has come to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobProperties

from copy_core.connectors.files.stores.azure_faults import ABSENT, code_of
from copy_core.connectors.files.stores.azure_upload import MIB
from copy_core.errors import TransientError

AT_ONCE = 256 * MIB
"""How large an object may be that is copied in one step:
https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url."""

_POLL_SECONDS = 1.0
_WAIT_SECONDS = 240.0
_OTHERS_FIRST = (
    "BlobAlreadyExists",
    "ConditionNotMet",
    "PendingCopyOperation",
    "SourceConditionNotMet",
    "TargetConditionNotMet",
)


def move(source: BlobClient, target: BlobClient, address: str, token: str | None) -> None:
    """Copies a blob within its account, what is kept beside it too, and removes it.

    Args:
        source: the blob; when it is gone, nothing happens.
        target: what it becomes.
        address: where the service may read the source.
        token: what it needs for that besides; None when the address will do.
    """
    found = looked(source)
    if found is None:
        return
    try:
        tags = source.get_blob_tags() if found.tag_count else None
        start = partial(
            target.start_copy_from_url,
            address,
            tags=tags,
            source_etag=found.etag,
            source_match_condition=MatchConditions.IfNotModified,
        )
        if found.size > AT_ONCE or not _at_once(start, token):
            _slowly(found, source, target, start)
        source.delete_blob(etag=found.etag, match_condition=MatchConditions.IfNotModified)
    except (ResourceExistsError, ResourceNotFoundError, ResourceModifiedError):
        # A condition on what is not there is not met: another has made the same move meanwhile.
        if looked(source) is not None:
            raise


def _at_once(start: Callable[..., Any], token: str | None) -> bool:
    """Copies in one step. False when the service cannot: the blob is of another kind, or the
    account's firewall keeps it from reading the address. What else it refuses, it will again.
    """
    try:
        start(requires_sync=True, source_authorization=f"Bearer {token}" if token else None)
    except HttpResponseError as e:
        if code_of(e) in (*_OTHERS_FIRST, *ABSENT) or busy(e):
            raise
        return False
    return True


def _slowly(
    found: BlobProperties, source: BlobClient, target: BlobClient, start: Callable[..., Any]
) -> None:
    """Has one copy made, which somebody else may have begun."""
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        there = looked(target)
        if there is not None and _is_copy(there, source, found):
            if there.copy.status == "success":
                return
            if there.copy.status == "pending":
                time.sleep(_POLL_SECONDS)
                continue
        try:
            if there is None:
                begun = start(match_condition=MatchConditions.IfMissing)
            else:
                begun = start(etag=there.etag, match_condition=MatchConditions.IfNotModified)
            if begun["copy_status"] == "success":
                return
        except (ResourceExistsError, ResourceModifiedError) as e:
            still = looked(source)
            if code_of(e) not in _OTHERS_FIRST or still is None or still.etag != found.etag:
                raise  # else somebody began before us: look again
    raise TransientError(
        "the service is still copying the object to its place",
        fix="Run the job again: it waits for the copy's end",
        code="copy-pending",
    )


def _is_copy(there: BlobProperties, source: BlobClient, found: BlobProperties) -> bool:
    """Whether a blob is, or is about to be, what a source is now."""
    copy = there.copy
    if not copy.source or unquote(urlsplit(copy.source).path) != unquote(urlsplit(source.url).path):
        return False
    if copy.status == "pending":
        return True
    return there.size == found.size and (copy.completion_time or there.last_modified) >= (
        found.last_modified
    )


def looked(blob: BlobClient) -> BlobProperties | None:
    """A blob as it is now; None when there is none."""
    try:
        return blob.get_blob_properties()
    except ResourceNotFoundError as e:
        if code_of(e) not in ABSENT:
            raise
        return None


def busy(error: HttpResponseError) -> bool:
    """Whether the service may answer better later; else it cannot do what it was asked for."""
    status = error.status_code
    return status is None or status in (408, 429) or (status >= 500 and status != 501)

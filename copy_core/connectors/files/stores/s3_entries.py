"""Entries, times and etags as S3's answers hold them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from copy_core.connectors.files.store import Entry
from copy_core.errors import TransientError


def listed(key: str, found: Mapping[str, Any]) -> Entry:
    """What a listing says of an object."""
    return Entry(key, found["Size"], nanoseconds(found["LastModified"]), bare(found["ETag"]))


def looked_at(key: str, head: Mapping[str, Any]) -> Entry:
    """What HeadObject says of one."""
    return Entry(key, head["ContentLength"], nanoseconds(head["LastModified"]), bare(head["ETag"]))


def written(key: str, size: int, answer: Mapping[str, Any]) -> Entry:
    """An object that was just written. The service does not say when that was: the time is that of
    its answer, perhaps a second later than what listings will say.
    """
    return Entry(key, size, answered(answer), bare(answer["ETag"]))


def answered(answer: Mapping[str, Any]) -> int:
    """When the service gave an answer, nanoseconds of the epoch."""
    return nanoseconds(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]))


def nanoseconds(moment: datetime) -> int:
    """A time of the service, nanoseconds of the epoch, whole seconds: Amazon gives no more, and
    others tell fractions in some answers only, where an object has but one time.
    """
    return int(moment.timestamp()) * 10**9


def bare(etag: str) -> str:
    """An etag without quotes, which some services put in some answers only."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An etag as conditions want it."""
    return f'"{etag}"'


def unchanged(entry: Entry, answer: Mapping[str, Any]) -> None:
    """Checks that an answer is about the object that was meant: some services overlook If-Match.

    Raises:
        TransientError: it is about another.
    """
    if bare(answer["ETag"]) != entry.etag:
        raise TransientError(
            "the object has changed meanwhile", code="file-changed", file=entry.key
        )

"""Reads objects of S3, whole or a range."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.httpchecksum import StreamingChecksumBody

from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.s3_entries import quoted, unchanged
from copy_core.connectors.files.stores.s3_faults import FAILURES, guarded, translate
from copy_core.errors import CopyJobError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

# How often a range is read whose bytes break off: boto3 repeats requests, but no body.
_TRIES = 4


def read(
    client: S3Client, target: Mapping[str, Any], entry: Entry, start: int, length: int
) -> bytes:
    """The bytes of `copy_core.connectors.files.store.Store.read`, one at least.

    Args:
        client: the client to use.
        target: the object's Bucket and Key.
        entry: the object.
        start: the first byte.
        length: how many.
    """
    span = f"bytes={start}-{start + length - 1}"
    return _patiently(client, {**target, "Range": span}, entry, length)[0]


def fetch(
    client: S3Client, target: Mapping[str, Any], entry: Entry
) -> tuple[bytes, GetObjectOutputTypeDef]:
    """All bytes of an object, and what is said with them. Arguments as of `read`."""
    return _patiently(client, dict(target), entry, entry.size)


def verified(answer: GetObjectOutputTypeDef) -> bool:
    """Whether boto3 held the bytes that were read against a checksum of all of them: it does so
    where the answer has one that it can compute.
    """
    return isinstance(answer["Body"], StreamingChecksumBody)


def _patiently(
    client: S3Client, asked: dict[str, Any], entry: Entry, length: int
) -> tuple[bytes, GetObjectOutputTypeDef]:
    broken: CopyJobError
    for _ in range(_TRIES):
        with guarded("s3:GetObject", entry.key):
            answer = client.get_object(**asked, IfMatch=quoted(entry.etag))
        with closing(answer["Body"]) as body:
            unchanged(entry, answer)
            if answer["ContentLength"] != length:
                raise TransientError(
                    f"{answer['ContentLength']} bytes came, {length} were promised",
                    code="short-read",
                    file=entry.key,
                )
            try:
                return body.read(), answer
            except FAILURES as e:
                broken = translate(e).at(file=entry.key)
    raise broken

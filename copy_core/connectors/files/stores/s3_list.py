"""Listings of S3, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.s3_entries import listed
from copy_core.connectors.files.stores.s3_faults import code_of, guarded
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def entries(
    client: S3Client, bucket: str, root: str, prefix: str, after: str, page_size: int
) -> Iterator[Entry]:
    """The objects of `copy_core.connectors.files.store.Store.list`.

    Args:
        client: the client to use.
        bucket: the bucket.
        root: what all keys of the store begin with.
        prefix: what these begin with, below it.
        after: the key after which they come, below it; "" for all.
        page_size: how many to ask for at a time.
    """
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": root + prefix, "MaxKeys": page_size}
    if after:
        request["StartAfter"] = root + after
    last = after
    while True:
        with guarded("s3:ListBucket", prefix):
            found, token = _page(client, request)
        for each in found:
            key = each["Key"].removeprefix(root)
            if not key or key.endswith("/"):  # a folder, as some programs draw it
                continue
            if key <= last:
                raise TerminalError(
                    "the service does not list objects in the order of their names",
                    fix="Use a general purpose bucket: directory buckets have no order",
                    code="unordered",
                    file=key,
                )
            last = key
            yield listed(key, each)
        if not token:
            return
        request["ContinuationToken"] = token


def _page(client: S3Client, request: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """A page, and the token of the next; "" of the last.

    Names are asked for as they are. Only where one has a character that XML cannot say they are
    asked for encoded, from there on: not every service's order and paging are made for that.
    """
    try:
        answer: Any = client.list_objects_v2(**request)
    except ClientError as e:
        # What boto3 makes of an answer that is no XML; Amazon itself has a code for all it says.
        if code_of(e) != "500":
            raise
        request["EncodingType"] = "url"
        answer = client.list_objects_v2(**request)
    found = answer.get("Contents", [])
    if "EncodingType" in request:
        found = [each | {"Key": unquote_plus(each["Key"])} for each in found]
    return found, answer["NextContinuationToken"] if answer.get("IsTruncated") else ""

"""Uploads in parts that are still under way.

Their objects will appear with the time at which the upload began, so that who watches a bucket by
time must not pass it. But buckets are full of uploads that somebody's crash has left behind, and
that nobody will ever complete: one that nothing has happened to for a day counts as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef

IDLE = timedelta(days=1)
"""How long nothing may have happened to an upload that is not taken for dead."""


def oldest(client: S3Client, bucket: str, prefix: str, now: datetime) -> datetime | None:
    """When the oldest upload was begun that is still under way.

    Args:
        client: the client to use.
        bucket: the bucket.
        prefix: what the keys begin with.
        now: the service's time.

    Raises:
        ConfigError: the right to list uploads is missing; without it files could be missed.
    """
    begun = [
        upload["Initiated"]
        for upload in _uploads(client, bucket, prefix)
        if upload["Initiated"] > now - IDLE or _stirs(client, bucket, upload, now)
    ]
    return min(begun, default=None)


def _uploads(client: S3Client, bucket: str, prefix: str) -> Iterator[MultipartUploadTypeDef]:
    try:
        pages = client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Uploads", ())
    except FAILURES as e:
        if translate(e).code != "not-supported":  # then it has no such uploads either
            raise translate(e, "s3:ListBucketMultipartUploads") from e


def _stirs(client: S3Client, bucket: str, upload: MultipartUploadTypeDef, now: datetime) -> bool:
    """Whether a part of it has come lately."""
    try:
        pages = client.get_paginator("list_parts")
        found = pages.paginate(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return any(
            part["LastModified"] > now - IDLE for page in found for part in page.get("Parts", ())
        )
    except FAILURES as e:
        if code_of(e) == "NoSuchUpload":  # it has ended since
            return False
        raise translate(e, "s3:ListMultipartUploadParts") from e

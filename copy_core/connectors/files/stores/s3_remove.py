"""Removes objects of S3, many with one request where the service can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, guarded, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CANNOT = frozenset(
    {"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "MissingArgument", "MalformedXML"}
    | {"InvalidRequest", "501", "405"}
)
"""The codes of services that know no DeleteObjects, or no condition for a removal, or want it with
headers that boto3 does not send.
"""


def remove(client: S3Client, bucket: str, keys: Sequence[str], root: str) -> None:
    """Removes up to 1,000 objects; those that are not there are fine.

    Args:
        client: the client to use.
        bucket: the bucket.
        keys: their keys in the bucket.
        root: what errors leave out of a key.

    Raises:
        CopyJobError: the service refuses one.
    """
    # XML cannot say every character that a key may have.
    odd = [key for key in keys if not key.isprintable()]
    plain = [key for key in keys if key.isprintable()]
    if len(plain) == 1 or (plain and not _removed(client, bucket, plain, root)):
        odd = list(keys)
    for key in odd:
        with guarded("s3:DeleteObject", key.removeprefix(root)):
            client.delete_object(Bucket=bucket, Key=key)


def _removed(client: S3Client, bucket: str, keys: Sequence[str], root: str) -> bool:
    """Whether the service knows how to remove several at a time."""
    try:
        answer = client.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    except FAILURES as e:
        if code_of(e) in CANNOT:
            return False
        raise translate(e, "s3:DeleteObject") from e
    for error in answer.get("Errors", ()):
        if error.get("Code") != "NoSuchKey":
            refused = ClientError({"Error": error}, "DeleteObjects")
            raise translate(refused, "s3:DeleteObject").at(
                file=error.get("Key", "").removeprefix(root)
            )
    return True

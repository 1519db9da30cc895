"""Which actions of IAM a request to S3 takes, and whether a policy allows them. Pure.

The sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
and, for conditions on etags,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.rights.guard import Need

Policy = Mapping[str, Any]
ARN = "arn:aws:s3:::"
_DELETED = re.compile(rb"<Object>(.*?)</Object>", re.DOTALL)


def needs(method: str, path: str, headers: Mapping[str, str], body: bytes) -> list[Need]:
    """The rights that a request takes, which names the bucket in its path.

    Args:
        method: its method.
        path: its path and query.
        headers: its headers.
        body: its body.
    """
    return list(_needs(method, path, {k.lower(): v for k, v in headers.items()}, body))


def _needs(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Iterator[Need]:
    parts = urlsplit(path)
    query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
    bucket, _, key = unquote(parts.path.lstrip("/")).partition("/")
    whole, there = f"{ARN}{bucket}", f"{ARN}{bucket}/{key}"
    match method, bool(key):
        case "GET", False if query.get("list-type") == "2":
            yield Need("s3:ListBucket", whole, query.get("prefix", ""))
        case "GET", False if "uploads" in query:
            yield Need("s3:ListBucketMultipartUploads", whole)
        case "POST", False if "delete" in query:
            for each in _DELETED.findall(body):
                name = re.findall(rb"<Key>(.*?)</Key>", each)[0].decode()
                yield from _removal(f"{whole}/{name}", conditional=b"<ETag>" in each)
        case "GET", True if "tagging" in query:
            yield Need("s3:GetObjectTagging", there)
        case "GET", True if "uploadId" in query:
            yield Need("s3:ListMultipartUploadParts", there)
        case (("GET" | "HEAD"), True) if not query.keys() - {"x-id", "partNumber"}:
            yield Need("s3:GetObject", there)
        case "DELETE", True if "uploadId" in query:
            yield Need("s3:AbortMultipartUpload", there)
        case "DELETE", True if not query.keys() - {"x-id"}:
            yield from _removal(there, conditional="if-match" in headers)
        case (("PUT" | "POST"), True) if not query.keys() & {"tagging", "acl"}:
            yield from _writing(there, headers)
        case _:
            yield Need(f"unknown: {method} {path}", there)


def absent(need: Need) -> Need:
    """The right to be told that an object is not there; else S3 says that it may not be read.
    A condition on `s3:prefix` is held against its key: https://github.com/ceph/ceph/pull/68577.
    """
    bucket, _, key = need.resource.removeprefix(ARN).partition("/")
    return Need("s3:ListBucket", ARN + bucket, key)


def _removal(resource: str, *, conditional: bool) -> Iterator[Need]:
    yield Need("s3:DeleteObject", resource)
    if conditional:
        yield Need("s3:GetObject", resource)


def _writing(resource: str, headers: Mapping[str, str]) -> Iterator[Need]:
    yield Need("s3:PutObject", resource)
    if headers.get("x-amz-tagging"):
        yield Need("s3:PutObjectTagging", resource)
    if "if-match" in headers:
        yield Need("s3:GetObject", resource)
    if source := headers.get("x-amz-copy-source"):
        yield Need("s3:GetObject", ARN + unquote(source).lstrip("/"))


def allows(policy: Policy, need: Need) -> bool:
    """Whether a policy of Allow statements allows something."""
    return any(_meets(statement, need) for statement in policy["Statement"])


def _meets(statement: Mapping[str, Any], need: Need) -> bool:
    assert statement["Effect"] == "Allow"
    limits = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
    return (
        need.action in named(statement["Action"])
        and any(fnmatchcase(need.resource, each) for each in named(statement["Resource"]))
        and (
            limits is None
            or (
                need.prefix is not None
                and any(fnmatchcase(need.prefix, each) for each in named(limits))
            )
        )
    )


def named(value: str | list[str]) -> list[str]:
    """What a statement names, one or several."""
    return [value] if isinstance(value, str) else value


def actions(policy: Policy) -> set[str]:
    """Every action that a policy names."""
    return {action for each in policy["Statement"] for action in named(each["Action"])}


def chosen(policy: Policy, *sids: str) -> Policy:
    """Some statements of a policy."""
    kept = [each for each in policy["Statement"] if each["Sid"] in sids]
    assert {each["Sid"] for each in kept} == set(sids)
    return {**policy, "Statement": kept}


def without(policy: Policy, action: str) -> Policy:
    """A policy that does not name an action any more."""
    left = [
        {**each, "Action": [name for name in named(each["Action"]) if name != action]}
        for each in policy["Statement"]
    ]
    return {**policy, "Statement": left}

"""The policies of the page of S3: they are enough, and without any action of theirs something is
refused, or lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from copy_core.connectors.files.stores import s3_unfinished
from tests.crash.store_places import Kind, options
from tests.rights import copies, iam, pages
from tests.rights.copies import Copy, Place
from tests.rights.guard import Guard
from tests.rights.pages import PREFIX
from tests.s3 import s3_client
from tests.servers import LocalStack
from tests.store_proxy import Rule, proxy

LIST_AND_READ = ("List", "Read")
BY_TIME = (*LIST_AND_READ, "UploadsUnderWay", "PartsUnderWay")
# The statements that each copy needs, of the policies of this order on the page.
READING: dict[Copy, tuple[str, ...]] = {
    copies.reads_rows: LIST_AND_READ,
    copies.is_tried_for_reading: LIST_AND_READ,
    copies.reads_new_files: BY_TIME,
    copies.reads_objects: (*LIST_AND_READ, "Tags"),
    copies.moves_objects: (*LIST_AND_READ, "Tags", "DeleteSource"),
    copies.reads_new_objects: (*BY_TIME, "Tags"),
    copies.leaves_rows_out: (*LIST_AND_READ, "Rejects"),
}
WRITING: dict[Copy, tuple[str, ...]] = {
    copies.writes_rows: ("List", "Write"),
    copies.breaks_off: ("List", "Write"),
    copies.is_tried_for_writing: ("List", "Write"),
    copies.writes_objects: ("List", "Write", "Tags"),
}
COPIES = {"To read": READING, "To write": WRITING}
# For each action of a policy, a copy that fails without it, or lacks something.
LACKING: dict[tuple[str, str], Copy] = {
    ("To read", "s3:ListBucket"): copies.reads_rows,
    ("To read", "s3:GetObject"): copies.reads_rows,
    ("To read", "s3:ListBucketMultipartUploads"): copies.reads_new_files,
    ("To read", "s3:ListMultipartUploadParts"): copies.reads_new_files,
    ("To read", "s3:GetObjectTagging"): copies.reads_objects,
    ("To read", "s3:DeleteObject"): copies.moves_objects,
    ("To read", "s3:PutObject"): copies.leaves_rows_out,
    ("To write", "s3:ListBucket"): copies.writes_rows,
    ("To write", "s3:GetObject"): copies.writes_rows,
    ("To write", "s3:PutObject"): copies.writes_rows,
    ("To write", "s3:DeleteObject"): copies.writes_rows,
    ("To write", "s3:AbortMultipartUpload"): copies.breaks_off,
    ("To write", "s3:PutObjectTagging"): copies.writes_objects,
}


class Bucket:
    """A bucket, past the guard."""

    def __init__(self, localstack: LocalStack, name: str, prefix: str = "") -> None:
        self._root = f"{prefix}/" if prefix else ""
        self._name = name
        self.client: Any = s3_client(localstack.endpoint)
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes, tags: Mapping[str, str]) -> None:
        named = {"Bucket": self._name, "Key": self._root + key}
        self.client.put_object(**named, Body=data, Tagging=urlencode(tags))

    def all(self) -> dict[str, dict[str, str]]:
        found = self.client.list_objects_v2(Bucket=self._name, Prefix=self._root)
        names = [each["Key"] for each in found.get("Contents", ())]
        return {name.removeprefix(self._root): self._tags(name) for name in names}

    def unfinished(self) -> list[str]:
        below = f"{self._root}out/"
        found = self.client.list_multipart_uploads(Bucket=self._name, Prefix=below)
        return [each["Key"] for each in found.get("Uploads", ())]

    def begin(self, key: str) -> None:
        """Begins an upload in parts."""
        self.client.create_multipart_upload(Bucket=self._name, Key=self._root + key)

    def _tags(self, name: str) -> dict[str, str]:
        found = self.client.get_object_tagging(Bucket=self._name, Key=name)
        return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}


@pytest.fixture
def bucket() -> str:
    return f"rights-{secrets.token_hex(8)}"


@pytest.fixture
def guard() -> Guard:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html: the count is given to who
    # has the right to read tags.
    counted = {"x-amz-tagging-count": "s3:GetObjectTagging"}
    return Guard(iam.needs, "AccessDenied", counted, iam.absent)


@pytest.fixture
def place(
    tmp_path: Path,
    localstack: LocalStack,
    bucket: str,
    guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    # Every upload under way is looked at, as one that was begun days ago.
    monkeypatch.setattr(s3_unfinished, "IDLE", timedelta(0))
    inside = Bucket(localstack, bucket, PREFIX)
    inside.begin("in/t/later")
    outside = Bucket(localstack, f"{bucket}-other")
    with proxy(localstack.endpoint) as server:
        server.reset(Rule(guard))
        own, free = (
            options(Kind("s3", "parquet", endpoint, name))
            for endpoint, name in (
                (server.origin, bucket),
                (localstack.endpoint, f"{bucket}-other"),
            )
        )
        own = own.model_copy(update={"prefix": PREFIX})
        yield Place(tmp_path, own, inside, free, outside)


@pytest.mark.parametrize(
    ("title", "copy", "sids"),
    [(title, copy, sids) for title, tried in COPIES.items() for copy, sids in tried.items()],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_policies_are_enough(
    place: Place, bucket: str, guard: Guard, title: str, copy: Copy, sids: tuple[str, ...]
) -> None:
    policy = iam.chosen(pages.policy("s3", title, bucket), *sids)
    guard.allow(partial(iam.allows, policy))
    assert copy(place) == ""
    assert guard.refused == set()
    assert title == "To write" or guard.used == iam.actions(policy)


def test_one_who_has_both_has_the_service_copy(place: Place, bucket: str, guard: Guard) -> None:
    reading, writing = (pages.policy("s3", title, bucket) for title in COPIES)
    guard.allow(lambda need: iam.allows(reading, need) or iam.allows(writing, need))
    assert copies.copies_within(place) == ""
    assert guard.refused == set()


@pytest.mark.parametrize(
    ("title", "action"),
    [(title, each) for title in COPIES for each in sorted(iam.actions(pages.policy("s3", title)))],
)
def test_no_action_is_superfluous(
    place: Place, bucket: str, guard: Guard, title: str, action: str
) -> None:
    copy = LACKING[title, action]
    left = iam.without(iam.chosen(pages.policy("s3", title, bucket), *COPIES[title][copy]), action)
    guard.allow(partial(iam.allows, left))
    assert copy(place) != ""
    assert guard.refused <= {action}

"""Objects of S3 whose bytes change on their way: told by the checksum that the service knows."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copy_core.connectors.files import parcel
from copy_core.connectors.files.carry import carry
from copy_core.connectors.files.parcel import Errand
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores import local
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.files.stores.s3 import S3Store
from copy_core.errors import TransientError
from tests.s3 import s3_client
from tests.servers import LocalStack
from tests.store_proxy import Proxy, Rule, damaged, proxy
from tests.unit.test_s3_store import opened

LEAST_PART = 5 << 20
PARTS = [bytes(range(256)) * (LEAST_PART >> 8), b"the end"]
DATA = b"".join(PARTS)


@pytest.fixture(scope="module")
def raw(localstack: LocalStack) -> Any:
    return s3_client(localstack.endpoint)


@pytest.fixture
def bucket(raw: Any) -> str:
    name = f"checksums-{uuid.uuid4()}"
    raw.create_bucket(Bucket=name)
    return name


@pytest.fixture
def before(localstack: LocalStack) -> Iterator[Proxy]:
    with proxy(localstack.endpoint) as found:
        yield found


@pytest.fixture
def store(before: Proxy, bucket: str) -> S3Store:
    return opened(bucket, before.origin)


@pytest.fixture(params=[1 << 20, 8 << 20])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carried in several pieces, or in one; nobody waits before another try."""
    monkeypatch.setattr(parcel, "PIECE", request.param)
    monkeypatch.setattr(local, "_PART_BYTES", request.param)
    monkeypatch.setattr(parcel.Parcel, "_pause", lambda *_: None)


def in_parts(raw: Any, bucket: str, kind: str) -> None:
    """Makes the object `x`, whose etag is no MD5, with a checksum of some kind."""
    target = {"Bucket": bucket, "Key": "root/x"}
    begun = raw.create_multipart_upload(**target, ChecksumAlgorithm="CRC32", ChecksumType=kind)
    target["UploadId"] = begun["UploadId"]
    sent = []
    for number, part in enumerate(PARTS, 1):
        answer = raw.upload_part(**target, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        kept = {name: answer[name] for name in ("ETag", "ChecksumCRC32")}
        sent.append({"PartNumber": number, **kept})
    raw.complete_multipart_upload(**target, MultipartUpload={"Parts": sent}, ChecksumType=kind)


def found(store: S3Store) -> Entry:
    entry = store.stat("x")
    assert entry is not None
    return entry


def carried(store: S3Store, folder: Path) -> bytes:
    list(carry(Errand(store, LocalStore(str(folder))), [(found(store), "x")]))
    return (folder / "x").read_bytes()


def test_the_checksum_of_all_bytes_is_known(store: S3Store, raw: Any, bucket: str) -> None:
    expected = zlib.crc32(DATA).to_bytes(4, "big")
    assert store.properties(store.put("x", DATA)).crc32 == expected
    in_parts(raw, bucket, "FULL_OBJECT")
    properties = store.properties(found(store))
    assert (properties.crc32, properties.md5) == (expected, None)


def test_the_checksum_of_the_parts_checksums_is_none(
    store: S3Store, raw: Any, bucket: str, tmp_path: Path
) -> None:
    in_parts(raw, bucket, "COMPOSITE")
    assert store.properties(found(store)).crc32 is None
    assert store.fetch(found(store))[1].crc32 is None
    assert carried(store, tmp_path) == DATA


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("whole", [False, True])
def test_bytes_that_changed_are_read_again(
    store: S3Store, before: Proxy, raw: Any, bucket: str, tmp_path: Path, whole: bool
) -> None:
    if whole:
        store.put("x", DATA)
    else:
        in_parts(raw, bucket, "FULL_OBJECT")
    before.reset(Rule(damaged, times=1, meets=bytes_of))
    assert carried(store, tmp_path) == DATA
    assert before.hits == 1


@pytest.mark.usefixtures("pieces")
def test_bytes_that_change_each_time_never_appear(
    store: S3Store, before: Proxy, raw: Any, bucket: str, tmp_path: Path
) -> None:
    in_parts(raw, bucket, "FULL_OBJECT")
    before.reset(Rule(damaged, meets=bytes_of))
    with pytest.raises(TransientError, match="the bytes"):
        carried(store, tmp_path)
    assert not (tmp_path / "x").exists()


def test_what_boto3_cannot_verify_is_held_against_the_md5(store: S3Store, before: Proxy) -> None:
    entry = store.put("x", b"some bytes")

    def silent(exchange: Any) -> None:
        """Damages an answer that has no checksum."""
        exchange.headers.pop("x-amz-checksum-mode", None)
        damaged(exchange)

    before.reset(Rule(silent, meets=bytes_of))
    with pytest.raises(TransientError, match="MD5"):
        store.fetch(entry)


def bytes_of(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith("/x") and "tagging" not in path

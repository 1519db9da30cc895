"""Reading files of object stores as tables: the services themselves, by way of their emulators."""

from __future__ import annotations

import gzip
import io
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.base import Source
from copy_core.connectors.file_options import AzureStorageOptions, FileOptions, S3Options
from copy_core.connectors.files.connector import store_of
from copy_core.connectors.files.ledger import Ledger, Move, Page
from copy_core.connectors.files.newest import nanoseconds
from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.store import Store
from copy_core.errors import TerminalError, TransientError
from copy_core.model import Slice
from copy_core.watermark import Window
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack
from tests.unit.file_tables import rows

MODIFIED = "_file_modified"


@pytest.fixture(params=["s3", "azure_blob"])
def place(request: pytest.FixtureRequest) -> S3Options | AzureStorageOptions:
    """A bucket or container of its own. Not checked: these secrets are public."""
    name = f"rows-{uuid.uuid4()}"
    if request.param == "azure_blob":
        azurite: Azurite = request.getfixturevalue("azurite")
        with ContainerClient(azurite.blob_endpoint, name, azurite.key) as client:
            client.create_container()
        return AzureStorageOptions.model_construct(
            type="azure_blob",
            account_url=azurite.blob_endpoint,
            account_key=azurite.key,
            container=name,
            prefix="in",
        )
    server: LocalStack = request.getfixturevalue("localstack")
    s3_client(server.endpoint).create_bucket(Bucket=name)
    return S3Options.model_construct(
        type="s3",
        bucket=name,
        prefix="in",
        region=server.region,
        endpoint_url=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )


@pytest.fixture
def store(place: S3Options | AzureStorageOptions) -> Iterator[Store]:
    with store_of(place) as store:
        yield store


def source(store: Store, **options: Any) -> FileSource:
    return FileSource(store, FileOptions(**options))


def whole(of: Source, name: str = "t", **more: Any) -> Slice:
    return Slice(object=name, columns=tuple(of.describe(name).schema.names), **more)


def parquet(*ids: int) -> bytes:
    sink = io.BytesIO()
    rows = pa.table({"id": pa.array(ids, pa.int64())})
    pq.write_table(rows, sink, row_group_size=100_000, compression="none", use_dictionary=False)
    return sink.getvalue()


def text(count: int) -> bytes:
    return b"id,text\n" + b"".join(b"%d,%s\n" % (n, b"x" * 90) for n in range(count))


@pytest.mark.parametrize("name", ["t", "t/*.csv*", "t/**/*", "t/a b+%41é.csv"])
def test_large_and_small_files_are_read_whole(store: Store, name: str) -> None:
    store.put("t/a b+%41é.csv", text(150_000))
    store.put("t/b.csv.gz", gzip.compress(text(20_000)))
    store.put("t/_hidden.csv", b"not,of,it\n")
    store.put("tt/other.csv", b"nor,this\n")
    of = source(store, format="csv")
    found = [row["id"] for row in rows(of, *of.split(of.describe(name), whole(of, name), 4))]
    assert found == [*range(150_000), *range(20_000 if name[-1] != "v" else 0)]
    assert of.objects() == ["t", "tt"]


def test_hive_folders_of_any_name_are_read(store: Store) -> None:
    store.put("t/day=2026-01-01/p=a%2Fb c/1.parquet", parquet(1))
    store.put("t/day=2026-01-02/p=__HIVE_DEFAULT_PARTITION__/1.parquet", parquet(2))
    of = source(store)
    assert [str(f.type) for f in of.describe("t").schema] == ["int64", "date32[day]", "string"]
    assert [row["p"] for row in rows(of, whole(of))] == ["a/b c", None]


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("change", ["rewritten", "gone"])
def test_an_object_that_changes_is_never_read_half_and_half(
    store: Store, change: str, planned: bool
) -> None:
    store.put("t/1.parquet", large := parquet(*range(1_500_000)))
    of = source(store)
    part = whole(of)
    if planned:
        (part,) = of.split(of.describe("t"), part, 1)
    batches = of.read(part, 10)
    next(batches)
    if change == "gone":
        store.remove(["t/1.parquet"])
    else:
        store.put("t/1.parquet", large[::-1])
    with pytest.raises(TerminalError if planned else TransientError) as raised:
        for _ in batches:
            pass
    codes = {"source-changed"} if planned else {"file-changed", "file-moved"}
    assert raised.value.code in codes
    assert raised.value.where == {"file": "t/1.parquet", "table": "t"}


def test_files_are_copied_once_by_their_time(store: Store) -> None:
    of, low, seen = source(store), None, list[int]()
    for n in range(3):
        store.put(f"t/{n}.parquet", parquet(n))
        info = of.describe("t")
        window = Window(column=MODIFIED, low=low, high=of.newest(info, MODIFIED, low))
        store.put(f"t/{n}-late.parquet", parquet(100 + n))
        parts = of.split(info, whole(of, window=window), 2)
        seen += [row["id"] for row in rows(of, *parts)]
        low = window.high
    info = of.describe("t")
    if (high := of.newest(info, MODIFIED, low)) is not None:
        window = Window(column=MODIFIED, low=low, high=high)
        seen += [row["id"] for row in rows(of, *of.split(info, whole(of, window=window), 2))]
    assert sorted(seen) == [0, 1, 2, 100, 101, 102]


@pytest.mark.parametrize("name", ["t", "t/*.parquet"])
def test_an_upload_that_began_before_a_copy_and_ends_after_it_is_copied(
    store: Store, name: str
) -> None:
    of, low, seen = source(store), None, list[int]()
    store.put("t/0.parquet", parquet(0))
    store.put("t/0.parquet", parquet(1))
    data = parquet(*range(2, 1_200_000))
    slow = store.upload("t/slow.parquet", len(data))
    slow.put(0, data[: slow.part_bytes])
    time.sleep(1.1)  # Services tell times in seconds.
    store.put("t/quick.parquet", parquet(-1))
    for end in (False, True):
        info = of.describe(name)
        high = of.newest(info, MODIFIED, low)
        assert high is not None
        if not end:
            # The emulator gives it the time when it ends; Amazon that when it began.
            begun = store.unfinished("t/")
            assert begun is None or nanoseconds(high) < begun
            slow.put(1, data[slow.part_bytes :])
            slow.complete()
        window = Window(column=MODIFIED, low=low, high=high)
        parts = of.split(info, whole(of, name, window=window), 1)
        seen += [i for part in parts for b in of.read(part, 65_536) for i in b["id"].to_pylist()]
        low = high
    assert sorted(seen) == [-1, *range(1, 1_200_000)]


def test_what_a_commit_still_has_to_move_is_read_and_has_no_time_yet(store: Store) -> None:
    store.put("t/old.parquet", parquet(1))
    store.put("t/_copyjob/staging/k/1/0", parquet(2))
    move = Move(add={"_copyjob/staging/k/1/0": "new.parquet"}, remove=("old.parquet",))
    of, ledger = source(store), Ledger(store, "t")
    before = of.newest(of.describe("t"), MODIFIED, None)
    page = Page(job="j", table="t", pending=move)
    etag = ledger.commit(page, "")
    info = of.describe("t")
    assert of.newest(info, MODIFIED, None) is None
    parts = of.split(info, whole(of), 1)
    assert rows(of, *parts) == [{"id": 2}]
    ledger.finish(page, etag)
    assert rows(of, *parts) == [{"id": 2}]
    after = of.newest(info, MODIFIED, before)
    assert before is not None
    assert after is not None
    assert after.position() >= before.position()


def counted(store: Store, name: str, calls: list[str]) -> Callable[..., Any]:
    real = getattr(store, name)

    def call(*args: Any, **more: Any) -> Any:
        calls.append(name)
        return real(*args, **more)

    return call


def test_a_small_file_takes_one_or_two_requests_to_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("t/1.parquet", parquet(*range(1000)))
    of = source(store)
    (part,) = of.split(of.describe("t"), whole(of), 1)
    calls: list[str] = []
    for name in ("read", "stat", "list"):
        monkeypatch.setattr(store, name, counted(store, name, calls))
    assert len(rows(of, part)) == 1000
    assert calls in (["read"], ["read", "read"])

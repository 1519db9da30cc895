"""Copies of whole objects between any two stores: full, incremental, mirrored, moved."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from copy_core.connectors.files.connector import Options, store_of
from copy_core.connectors.files.store import Properties, Store
from copy_core.connectors.options import AzureStorageOptions, LocalOptions, S3Options
from copy_core.context import Context
from copy_core.job import FILE_MODIFIED, JobFile, resolve
from copy_core.model import TableResult
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack

LARGE = (20 << 20) + 1
ODD = ("a b", "a+b%20", "ä/ö", "_hidden/.x", "empty", "e=1/f=2")
PAIRS = (
    ("local", "s3"),
    ("s3", "azure_blob"),
    ("azure_blob", "s3"),
    ("s3", "s3"),
    ("adls_gen2", "azure_blob"),
    ("azure_blob", "local"),
)

MakeOptions = Callable[[str], Options]


@pytest.fixture
def options(tmp_path: Path, azurite: Azurite, localstack: LocalStack) -> MakeOptions:
    """Makes a place of a kind, and tells how to connect to it."""

    def made(kind: str) -> Options:
        name = f"objects-{uuid.uuid4()}"
        if kind == "local":
            (tmp_path / name).mkdir()
            return LocalOptions(type="local", root=str(tmp_path / name), format="binary")
        if kind == "s3":
            s3_client(localstack.endpoint).create_bucket(Bucket=name)
            # Neither is checked: these secrets are public.
            return S3Options.model_construct(
                type="s3",
                bucket=name,
                prefix="p",
                region=localstack.region,
                endpoint_url=localstack.endpoint,
                access_key_id=localstack.access_key,
                secret_access_key=localstack.secret_key,
                format="binary",
            )
        with ContainerClient(azurite.blob_endpoint, name, azurite.key) as client:
            client.create_container()
        return AzureStorageOptions.model_construct(
            type=kind,
            account_url=azurite.blob_endpoint,
            container=name,
            account_key=azurite.key,
            format="binary",
        )

    return made


class House:
    """A job that copies objects from one store to another, and its state."""

    def __init__(self, folder: Path, source: Options, destination: Options) -> None:
        self.state = SqliteStateStore(folder / "state.db")
        self.connections = {"from": source, "to": destination}
        self.source, self.destination = store_of(source), store_of(destination)

    def run(self, **table: Any) -> TableResult:
        file = JobFile.model_validate(
            {
                "name": "job",
                "source": "from",
                "destination": "to",
                "tables": [{"source": "in", "destination": "out", **table}],
            }
        )
        context = Context(resolve(file, FILE_MODIFIED), self.connections, self.state)
        (result,) = LocalRunner(context).run().tables
        assert result.error is None, result.error
        return result

    def found(self, store: Store, folder: str) -> dict[str, bytes]:
        entries = [e for e in store.list(folder) if "_copyjob" not in e.key.split("/")]
        return {e.key.removeprefix(folder): store.read(e, 0, e.size) for e in entries}


@pytest.fixture
def house(tmp_path: Path, options: MakeOptions, pair: tuple[str, str]) -> Iterator[House]:
    house = House(tmp_path, options(pair[0]), options(pair[1]))
    yield house
    house.state.close()


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_objects_of_any_name_and_size_arrive_and_are_kept_up_to_date(house: House) -> None:
    data = {name: b"" if name == "empty" else name.encode() for name in ODD}
    data["large"] = bytes(range(256)) * (LARGE // 256) + b"x"
    said = Properties(content_type="text/plain", metadata={"owner": "someone"})
    for name, some in data.items():
        if name == "large":
            upload = house.source.upload("in/large", len(some), said)
            for n in range(-(-len(some) // upload.part_bytes)):
                upload.put(n, some[n * upload.part_bytes : (n + 1) * upload.part_bytes])
            upload.complete()
        else:
            house.source.put(f"in/{name}", some, properties=said)
    first = house.run(mode="incremental")
    assert (first.files_read, first.files_written) == (len(data), len(data))
    assert house.found(house.destination, "out/") == data
    for entry in house.destination.list("out/e"):
        origin = house.source.stat(entry.key.replace("out/", "in/"))
        assert origin is not None
        kept, was = house.destination.properties(entry), house.source.properties(origin)
        if was.content_type and kept.content_type:
            assert (kept.content_type, kept.metadata) == (was.content_type, was.metadata)
    assert house.run(mode="incremental").status == "unchanged"
    house.source.put("in/a b", b"changed")
    house.source.put("in/new", b"new")
    assert house.run(mode="incremental").files_written == 2
    data |= {"a b": b"changed", "new": b"new"}
    assert house.found(house.destination, "out/") == data


@pytest.mark.parametrize("pair", PAIRS[:4], ids="-".join)
def test_a_folder_is_mirrored_and_another_is_moved(house: House) -> None:
    for n in range(30):
        house.source.put(f"in/{n % 3}/{n}", str(n).encode())
        house.destination.put(f"out/{n % 2}/{n}", b"old")
    house.destination.put("outside", b"old")
    mirrored = {f"{n % 3}/{n}": str(n).encode() for n in range(30)}
    result = house.run(write="overwrite", parts=4)
    assert (result.parts, result.files_written) == (4, 30)
    assert house.found(house.destination, "out/") == mirrored
    assert house.destination.stat("outside")
    moved = house.run(source="in/1", destination="moved", delete_source=True, hierarchy="flatten")
    assert moved.files_written == 10
    assert house.found(house.destination, "moved/") == {
        str(n): str(n).encode() for n in range(30) if n % 3 == 1
    }
    left = {name: some for name, some in mirrored.items() if not name.startswith("1/")}
    assert house.found(house.source, "in/") == left


@pytest.mark.parametrize("pair", [("s3", "local")], ids="-".join)
def test_an_upload_that_takes_long_holds_back_what_came_after_it_began(house: House) -> None:
    house.source.put("in/before", b"1")
    upload = house.source.upload("in/large", LARGE)
    upload.put(0, bytes(upload.part_bytes))
    house.source.put("in/after", b"2")
    house.run(mode="incremental")
    assert "after" not in house.found(house.destination, "out/")
    for n in range(1, -(-LARGE // upload.part_bytes)):
        upload.put(n, bytes(min(upload.part_bytes, LARGE - n * upload.part_bytes)))
    upload.complete()
    house.run(mode="incremental")
    sizes = {name: len(some) for name, some in house.found(house.destination, "out/").items()}
    assert sizes == {"before": 1, "after": 1, "large": LARGE}

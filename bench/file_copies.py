"""One copy of objects from S3 to Azure Blob Storage, or a plan of one, timed, in a process of its
own: by the raw libraries, or by us.

`python -m bench.file_copies HOW WORK` prints seconds and peak memory as JSON; WORK is a folder with
`ends.json`, which says where the objects are and go. The same for one object goes before it: a
process loads libraries and opens connections once, and `first` tells what that took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.copies import peak_mb, run
from tests.servers import Azurite, LocalStack

THREADS = 8
PIECE = 8 << 20
FEW = "few"
KEY_VARIABLE = "COPYJOB_BENCH_KEY"


class Ends(NamedTuple):
    """Where objects are and go.

    Attributes:
        s3: the endpoint of S3.
        bucket: the bucket.
        folder: the folder in it.
        blob: the endpoint of the account.
        container: the container, in which they get a folder of the same name.
    """

    s3: str
    bucket: str
    folder: str
    blob: str
    container: str


class Piece(NamedTuple):
    """Some bytes of an object."""

    key: str
    start: int
    length: int


def s3_client(endpoint: str) -> Any:
    from botocore.config import Config

    from tests import s3

    return s3.s3_client(endpoint, config=Config(max_pool_connections=THREADS))


def container_client(endpoint: str, name: str) -> Any:
    from azure.storage.blob import ContainerClient

    return ContainerClient(endpoint, name, credential=Azurite.key)


class Raw:
    """What the libraries do at their best, in threads."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._s3 = s3_client(ends.s3)
        self._container = container_client(ends.blob, ends.container)

    def down(self, folder: str) -> None:
        """Reads every object and keeps nothing."""
        _each(self._read, (piece for pieces in self._objects(folder) for piece in pieces))

    def up(self, folder: str) -> None:
        """Writes objects of the same sizes: in one request each, or large ones in blocks."""
        objects, data = list(self._objects(folder)), os.urandom(PIECE)
        blocks = [piece for pieces in objects if len(pieces) > 1 for piece in pieces]
        whole = [pieces[0] for pieces in objects if len(pieces) == 1]

        def put(piece: Piece) -> None:
            blob = self._container.get_blob_client(piece.key)
            blob.upload_blob(data[: piece.length], overwrite=True)

        def stage(piece: Piece) -> None:
            blob = self._container.get_blob_client(piece.key)
            blob.stage_block(_block(piece), data[: piece.length])

        _each(put, whole)
        _each(stage, blocks)
        for pieces in objects:
            if len(pieces) > 1:
                blob = self._container.get_blob_client(pieces[0].key)
                blob.commit_block_list([_block(piece) for piece in pieces])

    def loop(self, folder: str) -> None:
        """Gets each object whole, then puts it: what everybody writes first."""

        def copy(pieces: list[Piece]) -> None:
            key = pieces[0].key
            data = self._s3.get_object(Bucket=self._ends.bucket, Key=key)["Body"].read()
            self._container.upload_blob(key, data, overwrite=True)

        _each(copy, self._objects(folder))

    def listing(self, folder: str) -> None:
        """Lists every object."""
        for _ in self._objects(folder):
            pass

    def _read(self, piece: Piece) -> None:
        span = f"bytes={piece.start}-{piece.start + piece.length - 1}"
        got = self._s3.get_object(Bucket=self._ends.bucket, Key=piece.key, Range=span)
        assert len(got["Body"].read()) == piece.length

    def _objects(self, folder: str) -> Iterable[list[Piece]]:
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._ends.bucket, Prefix=f"{folder}/"):
            for found in page["Contents"]:
                starts = range(0, found["Size"], PIECE)
                key, size = found["Key"], found["Size"]
                yield [Piece(key, start, min(PIECE, size - start)) for start in starts]


def ours(ends: Ends, folder: str, work: Path) -> None:
    """The job that a user would write, run as `copyjob run` does."""
    run(definition(ends, folder), work / folder)


def definition(ends: Ends, folder: str) -> dict[str, Any]:
    """The job file."""
    key = f"${{env:{KEY_VARIABLE}}}"
    return {
        "name": folder,
        "source": "from",
        "destination": "to",
        "tables": [{"source": folder, "mode": "incremental"}],
        "connections": {
            "from": {
                "type": "s3",
                "format": "binary",
                "bucket": ends.bucket,
                "endpoint_url": ends.s3,
                "region": LocalStack.region,
                "access_key_id": LocalStack.access_key,
                "secret_access_key": key,
            },
            "to": {
                "type": "azure_blob",
                "format": "binary",
                "account_url": ends.blob,
                "container": ends.container,
                "account_key": key,
            },
        },
    }


def planned(ends: Ends, folder: str, work: Path) -> None:
    """What the first run does before it copies: looks, fixes the window, cuts it into parts."""
    from copy_core.connectors import registry
    from copy_core.jobfile import load
    from copy_core.state.tables import TableState
    from copy_core.survey import survey

    file = work / f"{folder}.job.json"
    file.write_text(json.dumps(definition(ends, folder)), "utf-8")
    loaded = load(file)
    [table] = loaded.job.tables
    with (
        registry.open_source(loaded.connections["from"]) as source,
        registry.open_destination(loaded.connections["to"]) as destination,
    ):
        found = survey(loaded.job, table, TableState(table=folder), source, destination)
        assert found.plan is not None
        source.split(found.plan.info, found.plan.whole, found.plan.parts)


def rewound(ends: Ends, folder: str, work: Path) -> None:
    """Has the next run of `ours` find nothing new, as if every object had been copied."""
    from copy_core.connectors import registry
    from copy_core.jobfile import load
    from copy_core.rewind import rewind
    from copy_core.state.registry import open_state

    file = work / f"{folder}.job.json"
    file.write_text(json.dumps(definition(ends, folder)), "utf-8")
    loaded = load(file)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with (
        open_state(str((work / folder).with_suffix(".state.db"))) as store,
        registry.open_source(loaded.connections["from"]) as source,
    ):
        rewind(store, loaded.job, folder, now, source)


def main(how: str, place: str) -> None:
    # What all need is imported before the clock starts: this measures copying, not importing.
    import azure.storage.blob  # noqa: F401 - so that its import is not timed
    import boto3  # noqa: F401 - so that its import is not timed

    import copy_core.connectors.files.objects
    import copy_core.connectors.files.stores.azure
    import copy_core.connectors.files.stores.s3
    import copy_core.jobfile
    import copy_core.runners.local  # noqa: F401 - so that its import is not timed

    os.environ[KEY_VARIABLE] = Azurite.key
    work = Path(place)
    ends = Ends(**json.loads((work / "ends.json").read_text("utf-8")))
    raw = Raw(ends)
    ways: dict[str, Callable[[str], None]] = {
        "down": raw.down,
        "up": raw.up,
        "loop": raw.loop,
        "listing": raw.listing,
        "ours": lambda folder: ours(ends, folder, work),
        "planned": lambda folder: planned(ends, folder, work),
        "rewound": lambda folder: rewound(ends, folder, work),
    }
    first = _timed(ways[how], FEW)
    seconds = _timed(ways[how], ends.folder)
    print(json.dumps({"seconds": seconds, "first": first, "peak_mb": peak_mb()}))


def _each(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, items):
            pass


def _block(piece: Piece) -> str:
    return f"{piece.start // PIECE:06}"


def _timed(work: Callable[[str], None], folder: str) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])

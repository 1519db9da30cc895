"""What the storage servers hold when all tests are over, searched for planted secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from azure.data.tables import TableServiceClient

from tests import servers
from tests.planted import found, found_in_files
from tests.s3 import s3_client

_AT_ONCE = 8
_LARGEST = 1 << 18  # bytes of an object; larger ones hold rows


def leaked(root: Path) -> Iterator[tuple[str, str]]:
    """The places within a session's servers that hold a planted secret, and in which form.

    Args:
        root: the session's folder, see `servers.session`.
    """
    # Not the files beside them: they are locks, which this process would lose as it closed them.
    for folder in filter(Path.is_dir, root.iterdir()):
        for path, kind in found_in_files(folder):
            yield f"the servers' file {path.relative_to(root)}", kind
    if (root / "azurite.json").exists():
        yield from _in_tables(servers.azurite(root))
    if (root / "localstack.json").exists():
        yield from _in_buckets(servers.localstack(root))


def _in_tables(azurite: servers.Azurite) -> Iterator[tuple[str, str]]:
    """Azurite writes its tables down a while later, so it is asked."""
    with (
        TableServiceClient.from_connection_string(azurite.connection_string) as service,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def look(table: str) -> list[tuple[str, str]]:
            rows = service.get_table_client(table).list_entities()
            texts = ((row["RowKey"], json.dumps(row, default=str).encode()) for row in rows)
            return [
                (f"the row {key} of the table {table}", kind)
                for key, text in texts
                if (kind := found(text))
            ]

        for hits in pool.map(look, [table.name for table in service.list_tables()]):
            yield from hits


def _in_buckets(localstack: servers.LocalStack) -> Iterator[tuple[str, str]]:
    """LocalStack keeps objects in memory, so it is asked."""
    client = s3_client(localstack.endpoint)
    pages = client.get_paginator("list_objects_v2")

    def look(bucket: str) -> list[tuple[str, str]]:
        small = [
            entry["Key"]
            for page in pages.paginate(Bucket=bucket)
            for entry in page.get("Contents", ())
            if entry["Size"] <= _LARGEST
        ]
        objects = ((key, client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in small)
        return [
            (f"the object {key} of the bucket {bucket}", kind)
            for key, data in objects
            if (kind := found(data))
        ]

    with closing(client), ThreadPoolExecutor(_AT_ONCE) as pool:
        for hits in pool.map(look, [each["Name"] for each in client.list_buckets()["Buckets"]]):
            yield from hits

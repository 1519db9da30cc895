"""What is copied in these tests: tables of a SQLite file, into Delta tables in Azurite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient
from deltalake import DeltaTable

from tests import servers
from tests.durable.site import Site, unique


class Shop:
    """Tables `t000`, `t001`, … of one number and one word a row, and the lake they go to.

    Args:
        site: where the jobs that copy them run.
        azurite: where the lake is.
        tables: how many.
        rows: how many rows each has at first.
        local: whether the lake is a folder instead: that is faster.
    """

    def __init__(
        self,
        site: Site,
        azurite: servers.Azurite,
        tables: int,
        rows: int = 10,
        *,
        local: bool = False,
    ) -> None:
        self._site = site
        self.tables = [f"t{n:03d}" for n in range(tables)]
        self._last = 0
        self._root, self._storage = str(site.folder / "lake"), dict[str, str]()
        if not local:
            self._root, self._storage = _container(azurite), azurite.storage_options
        with closing(sqlite3.connect(site.source)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            for table in self.tables:
                db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, word TEXT NOT NULL)")
            db.commit()
        self.insert(rows)
        connections = {
            "shop": {"type": "sqlite", "path": str(site.source)},
            "lake": {"type": "delta", "root": self._root, "storage": self._storage},
        }
        self.write(site.jobs / "connections.json", {"connections": connections})

    def insert(self, rows: int) -> None:
        """Adds rows to every table."""
        first, self._last = self._last + 1, self._last + rows
        with closing(sqlite3.connect(self._site.source)) as db:
            for table in self.tables:
                values = [(n, f"word {n} of {table}") for n in range(first, self._last + 1)]
                db.executemany(f"INSERT INTO {table} VALUES (?, ?)", values)
            db.commit()

    def job(self, name: str, tables: Sequence[str] | None = None, **settings: Any) -> str:
        """Writes a job that appends what is new in some tables, all if none are named.

        Args:
            name: what it is called; something is added that makes it unique.
            tables: the tables.
            **settings: of the job file, besides or instead of those here.

        Returns:
            The job's name.
        """
        called = unique(name)
        definition = {
            "name": called,
            "source": "shop",
            "destination": "lake",
            "mode": "incremental",
            "incremental_column": "id",
            "tables": [{"source": table} for table in tables or self.tables],
            "limits": {"parallel_tables": 8, "source_connections": 16},
            **settings,
        }
        self.write(self._site.jobs / f"{called}.json", definition)
        return called

    def check(self) -> None:
        """Holds the lake against the source: each row is there once, as it is."""
        with closing(sqlite3.connect(self._site.source)) as db:
            for table in self.tables:
                there = db.execute(f"SELECT id, word FROM {table} ORDER BY id").fetchall()
                assert self.copied(table) == there, table

    def copied(self, table: str) -> list[tuple[int, str]]:
        """The rows of a table in the lake."""
        url, options = f"{self._root}/{table}", self._storage
        if not DeltaTable.is_deltatable(url, options):
            return []
        rows = DeltaTable(url, storage_options=options).to_pyarrow_table().to_pylist()
        return sorted((row["id"], row["word"]) for row in rows)

    @staticmethod
    def write(path: Path, content: Any) -> None:
        """Writes a file of the site."""
        path.write_text(json.dumps(content))


def _container(azurite: servers.Azurite) -> str:
    name = unique("lake")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        blobs.create_container(name).close()
    return f"az://{name}/lake"

"""Writes tables of a SQLite file: staging tables in the same file, published in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Destination, DestinationCapabilities, check_keys
from copy_core.connectors.sql import sqlite_catalog as catalog
from copy_core.connectors.sql import sqlite_statements as statements
from copy_core.connectors.sql.sqlite_catalog import fold
from copy_core.connectors.sql.sqlite_db import Database
from copy_core.connectors.sql.sqlite_publish import ledger, publish
from copy_core.connectors.sql.sqlite_types import declare, stored
from copy_core.connectors.sql.sqlite_values import encode, physical
from copy_core.connectors.sql.text import names, quote, told_apart
from copy_core.errors import ConfigError, TerminalError
from copy_core.model import Staged
from copy_core.schema import reconcile, schema_from_json

if TYPE_CHECKING:
    from copy_core.connectors.options import SqliteOptions
    from copy_core.connectors.sql.sqlite_catalog import Table
    from copy_core.model import Commit, Published, Target

# Rows and bytes written in one transaction while staging: few enough that the file is free for
# others in between, enough that committing costs little.
_CHUNK_ROWS = 131_072
_CHUNK_BYTES = 16 << 20


class SqliteDestination(Destination):
    """Tables of a SQLite file, which is created when there is none.

    A file has one writer at a time, so parts are staged one after the other.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "upsert", "overwrite"}), parallel_stage=False
    )

    def __init__(self, options: SqliteOptions) -> None:
        self._path = options.path
        self._open: Database | None = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _db(self) -> Database:
        if self._open is None:
            self._open = Database(self._path, write=True)
        return self._open

    def prepare(self, target: Target) -> pa.Schema:
        try:
            return self._prepare(target)
        except ConfigError as e:
            raise e.at(table=target.object) from None

    def _prepare(self, target: Target) -> pa.Schema:
        if fold(target.object).startswith((catalog.OWN, "sqlite_")):
            raise ConfigError(
                "names that begin like this are reserved",
                fix="Set `destination` of the table to another name",
                code="bad-name",
            )
        # Creating the ledger also shows whether the file may be written.
        with self._db.transaction():
            self._db.run(statements.CREATE_LEDGER)
            table = catalog.find_table(self._db, target.object)
            schema, added = _schema(target, table)
            check_keys(target, schema)
            for field in added:
                column = f"{quote(field.name)} {declare(field.type)}"
                self._db.run(f"ALTER TABLE {quote(target.object)} ADD COLUMN {column}")
            if table is not None and target.write == "upsert":
                self._need_unique(target, table)
        return schema

    def _need_unique(self, target: Target, table: Table) -> None:
        if catalog.index_collations(self._db, table, target.keys) is not None:
            return
        index = statements.key_index(table.name, target.keys)
        try:
            self._db.run(
                f"CREATE UNIQUE INDEX {quote(index)} ON {quote(table.name)} ({names(target.keys)})"
            )
        except TerminalError as e:
            if e.code != "constraint":
                raise
            raise ConfigError(
                f"the destination table has several rows of one key ({', '.join(target.keys)})",
                fix="Remove the duplicates, choose other `keys`, or write with `overwrite`",
                code="duplicate-key",
            ) from e

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        table = catalog.find_table(self._db, target.object)
        schema, _ = _schema(target, table)
        declared = {fold(c.name): c.declared for c in table.columns} if table else {}
        nulls_allowed = table is not None or target.write == "upsert"
        fields = [f.with_nullable(f.nullable or nulls_allowed) for f in schema]
        prefix = statements.stage_prefix(target.job, target.table)
        name = f"{prefix}{target.sequence}_{part}_{secrets.token_hex(8)}"
        with self._db.transaction():
            self._db.run(statements.create(name, fields, declared))
        written = size = 0
        for rows in _chunks(batches, schema, target.object):
            written += self._load(target, name, rows)
            size += rows.nbytes
        return Staged(part=part, rows=written, bytes=size, ref={"table": name})

    def _load(self, target: Target, name: str, rows: pa.Table) -> int:
        """Appends rows to a staging table; returns how many SQLite says it took."""
        try:
            return self._db.ingest(name, rows)
        except ConfigError as e:
            if e.code != "table-missing":
                raise
            raise TerminalError(
                "another run has removed what this one stages",
                fix="Let the other run finish; it copies the same rows",
                code="staged-missing",
                table=target.object,
            ) from e

    def publish(self, commit: Commit) -> Published:
        return publish(self._db, commit)

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        if not Path(self._path).exists():
            return None
        found = ledger(self._db, job, table, name)
        return found[0] if found else None

    def clean(self, target: Target) -> None:
        if not Path(self._path).exists():
            return
        prefix = statements.stage_prefix(target.job, target.table)
        asked = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, ?) = ?"
        for (name,) in self._db.rows(asked, (len(prefix), prefix)):
            if int(name.removeprefix(prefix).split("_")[0]) <= target.sequence:
                self._db.run(f"DROP TABLE IF EXISTS {quote(name)}")


def _schema(target: Target, table: Table | None) -> tuple[pa.Schema, list[pa.Field]]:
    """The schema to stage rows in, and the columns that the table lacks."""
    incoming = schema_from_json(target.columns)
    spelled = told_apart(incoming.names, fold)
    if table is None:
        return pa.schema([f.with_type(stored(f.type)) for f in incoming]), []
    if table.kind != "table":
        raise ConfigError(
            f"the destination is a {table.kind}, not a table",
            fix="Set `destination` of the table to the name of a table",
            code="not-a-table",
        )
    existing = []
    for column in table.columns:
        name = spelled.get(fold(column.name))
        if column.generated and name:
            raise ConfigError(
                "the destination computes this column itself",
                fix="Leave it out with `columns`, or give it another name with `rename`",
                code="generated-column",
                column=column.name,
            )
        if not column.generated:
            # Of a column that is not written, only whether it is required matters.
            kind = column.type if name else pa.string()
            existing.append(pa.field(name or column.name, kind, not column.required))
    schema, added = reconcile(pa.schema(existing), incoming, target.drift)
    grown = {f.name for f in added}
    fields = [f.with_type(stored(f.type)) if f.name in grown else f for f in schema]
    return pa.schema(fields), added


def _chunks(batches: Iterable[pa.RecordBatch], schema: pa.Schema, table: str) -> Iterator[pa.Table]:
    """Encoded rows, in chunks that are worth a transaction."""
    form = pa.schema([(f.name, physical(f.type)) for f in schema])
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        try:
            arrays = [encode(batch.column(f.name), f) for f in schema]
        except TerminalError as e:
            raise e.at(table=table) from None
        held.append(pa.RecordBatch.from_arrays(arrays, schema=form))
        rows += batch.num_rows
        size += held[-1].nbytes
        if rows >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(held)

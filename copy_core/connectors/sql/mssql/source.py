"""Reads tables, views and queries of a database of the SQL Server family."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.sql.mssql import catalog, cuts, newest, reading
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.dialect import MssqlTerms, select
from copy_core.connectors.sql.mssql.names import parse, quote
from copy_core.connectors.sql.mssql.ranges import leads, limits
from copy_core.connectors.sql.mssql.stream import stream
from copy_core.connectors.sql.mssql.types import max_length
from copy_core.connectors.sql.mssql.values import literal
from copy_core.connectors.sql.text import Sql
from copy_core.connectors.sql.where import where
from copy_core.errors import ConfigError, CopyJobError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.model import Slice
    from copy_core.watermark import Watermark

_BATCH_BYTES = 16 << 20
"""What a batch may take in memory, roughly; a single row may be larger."""

_NO_SNAPSHOT = (
    "The database does not allow snapshot isolation, so rows that change while they are read are"
    " read as they are at that moment; ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON gives"
    " each part one view"
)
_NO_FLOOR = (
    "The server does not say which rowversions are still to be committed, so a transaction that"
    " is open while a run looks for the newest one may be missed; set `lookback`"
)
_REPLICA = (
    "Connections for reading only may reach different replicas, one behind the other; set `delay`"
    " to more than they may lag"
)


class MssqlSource(Source):
    """Tables, views and queries of a database.

    What a plan is made of, from `describe` on, is looked up in one snapshot transaction where the
    database allows that; a part is one SELECT, in a snapshot of its own.
    """

    capabilities = SourceCapabilities(incremental=True, splits=True, queries=True)

    def __init__(self, options: MssqlOptions) -> None:
        self._options = options
        self._db = Database(options)
        self._tables: dict[tuple[str, str], Table] = {}

    def close(self) -> None:
        self._db.close()

    def objects(self) -> list[str]:
        return catalog.table_names(self._db)

    def describe(self, name: str, query: str = "") -> TableInfo:
        self._db.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        table = self._look(name, query)
        if self._snapshot(table):
            self._db.run("BEGIN TRANSACTION")
        columns = [c for c in table.columns if not c.refusal]
        lengths = {c.name: max_length(c.type, c.seventh_digit) for c in columns}
        return TableInfo(
            object=name,
            schema=pa.schema([c.field for c in columns]),
            uncopyable={c.name: c.refusal for c in table.columns if c.refusal},
            keys=table.keys,
            rows=table.rows,
            bytes=table.bytes,
            watermarks=newest.kinds(self._db, table),
            lengths={name: length for name, length in lengths.items() if length is not None},
            query=query,
            remarks=tuple(self._remarks(columns)),
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        table = self._table(info.object, info.query)
        return newest.newest(self._db, table, table.column(column), above)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        table = self._table(info.object, info.query)
        missing = Sql(f"{quote(table.column(column).name)} IS NULL")
        return int(self._db.value(select(table, "COUNT_BIG(*)", missing)))

    def predicate(self, part: Slice) -> str:
        return _condition(self._table(part.object, part.query), part).readable(literal)

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """Counts the rows of the window in the index of the incremental column; None where there
        is no such index.
        """
        del info
        table, column = self._table(whole.object, whole.query), whole.window.column
        if column is None or not leads(table, table.column(column)):
            return None
        window = whole.model_copy(update={"filter": ()})
        return int(self._db.value(select(table, "COUNT_BIG(*)", _condition(table, window))))

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        del info
        table = self._table(whole.object, whole.query)
        return cuts.split(self._db, table, whole, _condition(table, whole), parts)

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        table = self._table(part.object, part.query)
        columns = [table.column(name) for name in part.columns]
        fields = [c.field.with_name(name) for c, name in zip(columns, part.columns, strict=True)]
        schema = pa.schema(fields)
        fine = reading.fine_times(columns)
        items = [reading.expression(c) for c in columns] + [fine] * bool(fine)
        listed = ", ".join(f"{item} AS c{place}" for place, item in enumerate(items))
        condition = _condition(table, part)
        statement = select(table, listed, condition)
        try:
            with closing(self._batches(table, columns, condition, statement, batch_rows)) as found:
                for batch in found:
                    if fine:
                        reading.refuse_fine(batch.column(len(columns)), columns)
                    pairs = zip(batch.columns, columns, strict=False)
                    arrays = [reading.decode(array, column) for array, column in pairs]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except CopyJobError as e:
            e.at(table=table.label)
            raise

    def _batches(
        self,
        table: Table,
        columns: Sequence[TableColumn],
        condition: Sql,
        statement: Sql,
        batch_rows: int,
    ) -> Generator[pa.RecordBatch]:
        """The rows as the driver gives them, in batches that large values do not fill the memory
        with.
        """
        fetched = min(batch_rows, self._rows_in_memory(table, columns, condition))
        found = stream(self._options, statement, fetched, snapshot=self._snapshot(table))
        with closing(found) as batches:
            yield from batches if fetched == batch_rows else _gathered(batches, batch_rows)

    def _rows_in_memory(self, table: Table, columns: Sequence[TableColumn], condition: Sql) -> int:
        """How many rows may be in memory at a time, by the largest of their large values and by
        what a row takes on average.
        """
        per_row = (table.bytes or 0) // max(table.rows or 0, 1)
        large = [quote(c.name) for c in columns if reading.is_large(c)]
        if large:
            size = " + ".join(f"ISNULL(CAST(DATALENGTH({name}) AS bigint), 0)" for name in large)
            largest = self._db.value(select(table, f"MAX({size})", condition))
            per_row = max(per_row, largest or 0)
        return max(1, _BATCH_BYTES // max(per_row, 1))

    def _table(self, name: str, query: str) -> Table:
        return self._tables.get((name, query)) or self._look(name, query)

    def _look(self, name: str, query: str) -> Table:
        digit = self._options.seventh_digit
        if query:
            found = catalog.find_query(self._db, name, query, digit)
        else:
            wanted = parse(name, self._db.server.default_schema)
            table = catalog.find_table(self._db, wanted, digit)
            if table is None or table.name.table.startswith(catalog.OWN):
                raise ConfigError(
                    f"there is no table {name}",
                    fix=near(name, self.objects()),
                    code="table-missing",
                    table=name,
                )
            found = table
        level = "SNAPSHOT" if self._snapshot(found) else "READ COMMITTED"
        self._db.run(f"SET TRANSACTION ISOLATION LEVEL {level}")
        self._tables[name, query] = found
        return found

    def _remarks(self, columns: Sequence[TableColumn]) -> Iterator[str]:
        server = self._db.server
        if not server.snapshot:
            yield _NO_SNAPSHOT
        if any(c.type.name == "rowversion" for c in columns) and not server.min_active_rowversion:
            yield _NO_FLOOR
        if self._options.read_only:
            yield _REPLICA

    def _snapshot(self, table: Table) -> bool:
        """Whether to read in a snapshot; memory-optimized tables have a hint of their own, and
        refuse a session that asks for one.
        """
        return self._db.server.snapshot and not table.memory_optimized


def _gathered(batches: Iterable[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    """Joins batches that were fetched small, since most rows are far smaller than the largest."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if held and (rows > most_rows or size > _BATCH_BYTES):
            yield held[0] if len(held) == 1 else pa.concat_batches(held)
            held, rows, size = [], batch.num_rows, batch.nbytes
        held.append(batch)
    if held:
        yield pa.concat_batches(held)


def _condition(table: Table, part: Slice) -> Sql:
    asked = {c.column for c in part.filter} | {part.window.column} - {None}
    terms = MssqlTerms({name: table.column(name) for name in asked if name})
    return where(part, terms, limits(table, part.range) if part.range else None)

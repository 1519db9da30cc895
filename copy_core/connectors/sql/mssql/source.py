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
from copy_core.connectors.sql.mssql.names import ObjectName, parse, quote
from copy_core.connectors.sql.mssql.ranges import leads, limits
from copy_core.connectors.sql.mssql.stream import stream, stream_rows
from copy_core.connectors.sql.mssql.types import max_length
from copy_core.connectors.sql.mssql.values import literal
from copy_core.connectors.sql.text import Sql
from copy_core.connectors.sql.where import where
from copy_core.errors import ConfigError, CopyJobError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.model import Slice
    from copy_core.watermark import Watermark

_BATCH_BYTES = 16 << 20
"""What a batch may take in memory, roughly; a single row may be larger."""

# The driver holds the interpreter while it fetches rows with large values, waiting included, and
# with it every other thread: so it is asked for few of them at a time.
_LARGE_ROWS = 1_000
_LARGE_BYTES = 4 << 20
_FEWEST = 16
"""Fetched fewer at a time, rows are faster one by one."""

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
        self._viewing = self._tells_floor = False

    def close(self) -> None:
        self._db.close()

    def objects(self) -> list[str]:
        return catalog.table_names(self._db)

    def describe(self, name: str, query: str = "") -> TableInfo:
        table = self._view(name, query)
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
        floor = self._tells_floor
        return newest.newest(self._db, table, table.column(column), above, floor=floor)

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
        table = self._tables.get((part.object, part.query)) or self._glance(part)
        columns = [table.column(name) for name in part.columns]
        fields = [c.field.with_name(name) for c, name in zip(columns, part.columns, strict=True)]
        schema = pa.schema(fields)
        fine = reading.fine_times(columns)
        items = [reading.expression(c) for c in columns] + [fine] * bool(fine)
        listed = ", ".join(f"{item} AS c{place}" for place, item in enumerate(items))
        condition = _condition(table, part)
        statement = select(table, listed, condition)
        try:
            large = [quote(c.name) for c in columns if reading.is_large(c)]
            largest = self._largest(table, large, condition) if large else None
            with closing(self._batches(table, statement, batch_rows, largest)) as found:
                for batch in found:
                    if fine:
                        reading.refuse_fine(batch.column(len(columns)), columns)
                    pairs = zip(batch.columns, columns, strict=False)
                    arrays = [reading.decode(array, column) for array, column in pairs]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except CopyJobError as e:
            e.at(table=table.label)
            raise

    def _largest(self, table: Table, large: Sequence[str], condition: Sql) -> int:
        """What the large values of a row take at most, in bytes."""
        size = " + ".join(f"ISNULL(CAST(DATALENGTH({name}) AS bigint), 0)" for name in large)
        asked = select(table, f"MAX({size})", condition)
        if self._viewing:
            return self._db.value(asked) or 0
        with self._db.transaction(snapshot=self._snapshot(table)):
            return self._db.value(asked) or 0

    def _batches(
        self, table: Table, statement: Sql, batch_rows: int, largest: int | None
    ) -> Generator[pa.RecordBatch]:
        """The rows as the driver gives them, in batches that fit in memory.

        Args:
            table: what they are read from.
            statement: the query for them.
            batch_rows: how many rows a batch has at most.
            largest: what the large values of a row take at most; None when there are no such
                columns.
        """
        options, snapshot = self._options, self._snapshot(table)
        if largest is None:
            yield from stream(options, statement, batch_rows, _BATCH_BYTES, snapshot=snapshot)
            return
        fetched = min(_LARGE_ROWS, _LARGE_BYTES // max(largest, 1))
        if fetched < _FEWEST:
            yield from stream_rows(options, statement, batch_rows, _LARGE_BYTES, snapshot=snapshot)
            return
        fetched = min(fetched, batch_rows)
        with closing(stream(options, statement, fetched, _LARGE_BYTES, snapshot=snapshot)) as found:
            yield from _gathered(found, batch_rows)

    def _table(self, name: str, query: str) -> Table:
        return self._tables.get((name, query)) or self._view(name, query)

    def _view(self, name: str, query: str) -> Table:
        """Looks at a table in the transaction of its own in which it is then planned."""
        if self._viewing:
            self._viewing = False
            # One by one: not every server takes the second where it has run the first just before.
            self._db.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
            self._db.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        found = self._look(name, query)
        if any(c.type.name == "rowversion" for c in found.columns):
            self._tells_floor = newest.tells_floor(self._db)
        if self._snapshot(found):
            self._db.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")
            self._viewing = True
        self._tables[name, query] = found
        return found

    def _look(self, name: str, query: str) -> Table:
        digit = self._options.seventh_digit
        if query:
            found = catalog.find_query(self._db, name, query, digit)
        else:
            table = catalog.find_table(self._db, self._name(name), digit)
            if table is None or table.name.table.startswith(catalog.OWN):
                raise ConfigError(
                    f"there is no table {name}",
                    fix=near(name, self.objects()),
                    code="table-missing",
                    table=name,
                )
            found = table
        return found

    def _glance(self, part: Slice) -> Table:
        """Looks at no more than reading a part needs: each does so on a connection of its own, and
        some servers take long over their catalog.
        """
        if not part.query:
            columns = dict.fromkeys([*part.columns, *_asked(part)])
            digit = self._options.seventh_digit
            try:
                return catalog.find_columns(self._db, self._name(part.object), [*columns], digit)
            except TransientError:
                raise
            except CopyJobError:
                pass  # What is missing, a longer look tells; or finds it written otherwise.
        return self._look(part.object, part.query)

    def _name(self, name: str) -> ObjectName:
        return parse(name, self._db.server.default_schema)

    def _remarks(self, columns: Sequence[TableColumn]) -> Iterator[str]:
        server = self._db.server
        if not server.snapshot:
            yield _NO_SNAPSHOT
        if any(c.type.name == "rowversion" for c in columns) and not self._tells_floor:
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
    terms = MssqlTerms({name: table.column(name) for name in _asked(part)})
    return where(part, terms, limits(table, part.range) if part.range else None)


def _asked(part: Slice) -> Iterator[str]:
    """The columns that the condition of a part speaks of."""
    yield from (c.column for c in part.filter)
    if part.window.column is not None:
        yield part.window.column
    if part.range is not None:
        yield part.range["column"]

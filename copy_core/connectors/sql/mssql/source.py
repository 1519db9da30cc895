"""Reads tables, views and queries of a database of the SQL Server family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Source, SourceCapabilities, TableInfo
from copy_core.connectors.sql.mssql import catalog, cuts, lookup, newest, reader
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.dialect import predicate, select
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.ranges import leads
from copy_core.connectors.sql.mssql.types import max_length
from copy_core.connectors.sql.mssql.values import literal
from copy_core.connectors.sql.text import Sql

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.model import Slice
    from copy_core.watermark import Watermark

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
        self._tables: dict[tuple[str, str], Table] = {}
        self._viewing = self._tells_floor = False

    @cached_property
    def _db(self) -> Database:
        """What plans are made with; a part is read without it."""
        return Database(self._options)

    def close(self) -> None:
        if "_db" in self.__dict__:
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
        return predicate(self._table(part.object, part.query), part).readable(literal)

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """Counts the rows of the window in the index of the incremental column; None where there
        is no such index.
        """
        del info
        table, column = self._table(whole.object, whole.query), whole.window.column
        if column is None or not leads(table, table.column(column)):
            return None
        window = whole.model_copy(update={"filter": ()})
        return int(self._db.value(select(table, "COUNT_BIG(*)", predicate(table, window))))

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        del info
        table = self._table(whole.object, whole.query)
        return cuts.split(self._db, table, whole, predicate(table, whole), parts)

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        table = self._tables.get((part.object, part.query))
        return reader.read(self._options, part, batch_rows, table)

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
        if lookup.snapshot(self._db, found):
            self._db.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")
            self._viewing = True
        self._tables[name, query] = found
        return found

    def _look(self, name: str, query: str) -> Table:
        """Looks at a table, view or query, as `lookup.look`."""
        return lookup.look(self._db, name, query)

    def _remarks(self, columns: Sequence[TableColumn]) -> Iterator[str]:
        server = self._db.server
        if not server.snapshot:
            yield _NO_SNAPSHOT
        if any(c.type.name == "rowversion" for c in columns) and not self._tells_floor:
            yield _NO_FLOOR
        if self._options.read_only:
            yield _REPLICA

"""Reads tables, views and queries of a Warehouse: as SQL Server's, by its own narrower catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from copy_core.connectors.sql.fabric_warehouse import catalog, places
from copy_core.connectors.sql.mssql import lookup, reader
from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.dialect import predicate, select
from copy_core.connectors.sql.mssql.names import parse
from copy_core.connectors.sql.mssql.source import MssqlSource

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.base import TableInfo
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.table import Table, TableColumn
    from copy_core.connectors.warehouse_options import FabricWarehouseOptions
    from copy_core.model import Slice


class WarehouseSource(MssqlSource):
    """Tables, views and queries of a Warehouse, or of the SQL analytics endpoint of a Lakehouse.

    Every transaction there sees one snapshot; a part is one SELECT. Rows are counted to know how
    many there are, since the catalog does not say: a count reads no more than the metadata.
    """

    def __init__(self, options: FabricWarehouseOptions) -> None:
        super().__init__(places.endpoint(options))

    def objects(self) -> list[str]:
        return catalog.table_names(self._db)

    def describe(self, name: str, query: str = "") -> TableInfo:
        info = super().describe(name, query)
        table = self._table(name, query)
        if table.kind != "table":
            return info
        return replace(info, rows=int(self._db.value(select(table, "COUNT_BIG(*)"))))

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """Counts the rows of the window: columns are kept apart, so it reads one of them."""
        del info
        table = self._table(whole.object, whole.query)
        if whole.window.column is None or table.kind != "table":
            return None
        window = whole.model_copy(update={"filter": ()})
        return int(self._db.value(select(table, "COUNT_BIG(*)", predicate(table, window))))

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        table = self._tables.get((part.object, part.query))
        return reader.read(self._options, part, batch_rows, table, _glance)

    def _look(self, name: str, query: str) -> Table:
        return _look(self._db, name, query)

    def _remarks(self, columns: Sequence[TableColumn]) -> Iterator[str]:
        del columns
        return iter(())


def _look(db: Database, name: str, query: str) -> Table:
    if query:
        return lookup.look(db, name, query)
    table = catalog.find_table(db, parse(name, db.server.default_schema))
    if table is None or table.name.table.startswith(OWN):
        raise lookup.absent(name, catalog.table_names(db))
    return table


def _glance(db: Database, part: Slice) -> Table:
    return _look(db, part.object, part.query)

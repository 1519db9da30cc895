"""Finds what a job names: a table, a view, or a query that stands for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.base import near
from copy_core.connectors.sql.mssql import catalog
from copy_core.connectors.sql.mssql.dialect import asked
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.errors import ConfigError, CopyJobError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.table import Table
    from copy_core.model import Slice


def look(db: Database, name: str, query: str) -> Table:
    """Looks at all there is to know of it.

    Args:
        db: the connection.
        name: its name as people write it.
        query: the query; "" for a table or view.

    Raises:
        ConfigError: there is none, or the query cannot be read.
    """
    if query:
        return catalog.find_query(db, name, query, db.options.seventh_digit)
    table = catalog.find_table(db, _name(db, name), db.options.seventh_digit)
    if table is None or table.name.table.startswith(catalog.OWN):
        raise ConfigError(
            f"there is no table {name}",
            fix=near(name, catalog.table_names(db)),
            code="table-missing",
            table=name,
        )
    return table


def glance(db: Database, part: Slice) -> Table:
    """Looks at no more than reading a part needs: each does so on a connection of its own, and
    some servers take long over their catalog.
    """
    if not part.query:
        columns = [*dict.fromkeys([*part.columns, *asked(part)])]
        try:
            name = _name(db, part.object)
            return catalog.find_columns(db, name, columns, db.options.seventh_digit)
        except TransientError:
            raise
        except CopyJobError:
            pass  # What is missing, a longer look tells; or finds it written otherwise.
    return look(db, part.object, part.query)


def snapshot(db: Database, table: Table) -> bool:
    """Whether to read in a snapshot; memory-optimized tables have a hint of their own, and refuse
    a session that asks for one.
    """
    return db.server.snapshot and not table.memory_optimized


def _name(db: Database, name: str) -> ObjectName:
    return parse(name, db.server.default_schema)

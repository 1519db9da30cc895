"""Finds what a job names: a table, a view, or a query that stands for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.base import near
from copy_core.connectors.sql.mssql import catalog
from copy_core.connectors.sql.mssql.dialect import asked
from copy_core.connectors.sql.mssql.names import ObjectName, parse
from copy_core.errors import ConfigError, CopyJobError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        raise absent(name, catalog.table_names(db))
    return table


def absent(name: str, known: Sequence[str]) -> ConfigError:
    """The error for a table that is not there.

    Args:
        name: its name as people write it.
        known: the names of those that are.
    """
    return ConfigError(
        f"there is no table {name}", fix=near(name, known), code="table-missing", table=name
    )


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

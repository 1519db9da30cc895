"""Which staged value goes into which column of the target. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql.layout import arrival, compared, folding
from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.mssql.statements import Key
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.catalog import Table


class Filling:
    """Fills a table's columns from staging tables.

    Args:
        table: the table.
        collation: the database's, by which names are compared.
    """

    def __init__(self, table: Table, collation: str) -> None:
        self.table = table
        self._fold = folding(collation)
        self._columns = {self._fold(c.name): c for c in table.columns}

    @property
    def identity(self) -> str:
        """The identity column; "" when there is none."""
        return next((c.name for c in self.table.columns if c.identity), "")

    def values(self, staged: Mapping[str, str]) -> dict[str, str]:
        """For each column that staged rows fill, the expression of its value.

        Args:
            staged: what the staging table, which is `s` in expressions, calls the columns.

        Raises:
            TerminalError: the table has lost a column.
        """
        found = {}
        for name, place in staged.items():
            column = self._columns.get(self._fold(name))
            if column is None:
                raise TerminalError(
                    "the column was taken from the destination while its rows were copied",
                    fix="Run the job again",
                    code="column-missing",
                    column=name,
                )
            if column.writable:
                found[column.name] = arrival(column, f"s.{quote(place)}")
        return found

    def staged(self, name: str, columns: Mapping[str, str]) -> str:
        """What a staging table calls the column that a job calls by `name`."""
        return next(place for c, place in columns.items() if self._fold(c) == self._fold(name))

    def key(self, name: str, columns: Mapping[str, str]) -> Key:
        """The column of an upsert's key that a job calls by `name`.

        Args:
            name: its name in the job.
            columns: what the staging tables call the columns.
        """
        column, place = self._columns[self._fold(name)], self.staged(name, columns)
        return Key(column.name, place, compared(column, f"s.{quote(place)}"))


def same_count(there: int, wanted: int) -> None:
    """Refuses to publish another number of rows than were staged.

    Raises:
        TerminalError: they differ.
    """
    if there != wanted:
        raise TerminalError(
            f"{wanted} rows were staged, but {there} would be published",
            fix="Look for a trigger or an index with IGNORE_DUP_KEY that drops rows, and for other"
            " writers to the staging tables; nothing was changed",
            code="count-mismatch",
        )

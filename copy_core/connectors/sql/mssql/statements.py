"""The statements by which rows are staged and published in SQL Server. Pure.

A statement whose count matters ends in a SELECT of it: what a driver counts by itself is a
trigger's as often as the table's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from copy_core.connectors.sql.mssql.catalog import OWN
from copy_core.connectors.sql.mssql.names import ObjectName, quote
from copy_core.connectors.sql.text import Sql, bind, names

_COUNT = ";\nSELECT ROWCOUNT_BIG() AS [rows]"
_PLACE = quote(f"{OWN}place")


def stage_prefix(job: str, table: str) -> str:
    """How the names of all staging tables of (job, table) begin."""
    digest = hashlib.sha256(f"{job}\0{table}".encode()).hexdigest()[:16]
    return f"{OWN}stage_{digest}_"


def key_index(keys: Iterable[str]) -> str:
    """The name of the unique index that an upsert adds to a table."""
    digest = hashlib.sha256("\0".join(keys).encode()).hexdigest()[:16]
    return f"{OWN}key_{digest}"


def create(table: ObjectName, definitions: Iterable[str], keys: Sequence[str] = ()) -> str:
    """Creates a table.

    Args:
        table: its name.
        definitions: its columns.
        keys: its primary key.
    """
    lines = [*definitions, *([f"PRIMARY KEY ({names(keys, quote)})"] if keys else [])]
    return f"CREATE TABLE {table.quoted} (\n  " + ",\n  ".join(lines) + "\n)"


def add_column(table: ObjectName, definition: str) -> str:
    """Adds a column to a table."""
    return f"ALTER TABLE {table.quoted} ADD {definition}"


def add_key(table: ObjectName, keys: Sequence[str]) -> str:
    """Adds a unique index on the keys of an upsert."""
    listed = names(keys, quote)
    return f"CREATE UNIQUE INDEX {quote(key_index(keys))} ON {table.quoted} ({listed})"


def staging_tables(schema: str, prefix: str) -> Sql:
    """Asks for the names of all tables that begin with a prefix.

    Those of transactions that are still open are among them: to leave them out means to wait for
    whoever creates any table in the database.
    """
    return (
        "SELECT name FROM sys.tables WITH (NOLOCK) WHERE schema_id = SCHEMA_ID("
        + bind(schema)
        + ") AND name LIKE "
        + bind(prefix.replace("_", "!_") + "%")
        + " ESCAPE N'!' ORDER BY name"
    )


def delete(table: ObjectName) -> str:
    """Removes every row. Readers that are shown no older version wait for the end."""
    return f"DELETE FROM {table.quoted} WITH (TABLOCKX)"


def truncate(table: ObjectName) -> str:
    """Removes every row at once, which no trigger hears of; one by one where the server refuses
    that: a foreign key refers to the table, it keeps a history, the login may not.
    """
    return f"""SET XACT_ABORT OFF;
BEGIN TRY
  TRUNCATE TABLE {table.quoted};
END TRY
BEGIN CATCH
  IF XACT_STATE() <> 1 THROW;
  {delete(table)};
END CATCH;
SET XACT_ABORT ON"""


def insert(
    target: ObjectName,
    staged: ObjectName,
    values: Mapping[str, str],
    *,
    alone: bool = False,
    identity: bool = False,
    condition: str = "",
    plain: bool = False,
) -> str:
    """Adds staged rows to a table. Result: how many.

    Args:
        target: the table.
        staged: the staging table; `s` in expressions.
        values: for each column of the table, the expression that fills it.
        alone: lock the whole table, which the server then fills with the least logging.
        identity: one of the columns is the table's identity.
        condition: which rows; all when empty.
        plain: without the SELECT of how many, for a service that has no ROWCOUNT_BIG: the driver's
            count will do where there are no triggers.
    """
    hint = " WITH (TABLOCK)" if alone else ""
    statement = (
        f"INSERT INTO {target.quoted}{hint} ({names(values, quote)})\n"
        f"SELECT {', '.join(values.values())} FROM {staged.quoted} AS s"
    )
    if condition:
        statement += f"\nWHERE {condition}"
    if identity:
        switch = f"SET IDENTITY_INSERT {target.quoted}"
        return f"{switch} ON;\n{statement}{_COUNT};\n{switch} OFF"
    return statement + ("" if plain else _COUNT)


class Key(NamedTuple):
    """A column of the key of an upsert.

    Attributes:
        own: its name in the target.
        staged: what the staging tables call it.
        value: a staged value as the target compares it; `s` is the staging table.
    """

    own: str
    staged: str
    value: str


class Upsert:
    """The statements of an upsert.

    An UPDATE and an INSERT for each staging table, once it is certain that no key occurs twice in
    them. The locks of HOLDLOCK keep other writers out of the gap between the two; MERGE needs the
    same locks, and is missing from some servers.

    Args:
        target: the destination table.
        staged: the staging tables; they have the same columns.
        keys: the key columns.
        plain: without these locks, for a service that finds other writers by itself, and without
            counts, as in `insert`.
    """

    def __init__(
        self,
        target: ObjectName,
        staged: Sequence[ObjectName],
        keys: Sequence[Key],
        *,
        plain: bool = False,
    ) -> None:
        self._target, self._staged = target, staged
        self._keys = [key.staged for key in keys]
        self._values = [key.value for key in keys]
        self._group = ", ".join(self._values)
        self._same = " AND ".join(f"t.{quote(key.own)} = {key.value}" for key in keys)
        self._plain = plain
        self._locked = f"{target.quoted} AS t{'' if plain else ' WITH (UPDLOCK, HOLDLOCK)'}"
        self._grouped = f"SELECT 1 AS n FROM {self._all(self._keys)} GROUP BY {self._group}"

    def _all(self, columns: Sequence[str]) -> str:
        """Columns of all staged rows, to select from."""
        listed = names(columns, quote)
        each = (f"SELECT {listed} FROM {table.quoted}" for table in self._staged)
        return f"({' UNION ALL '.join(each)}) AS s"

    @property
    def totals(self) -> str:
        """How many rows there are, and how many of them have a null in the key."""
        missing = " OR ".join(f"{value} IS NULL" for value in self._values)
        return (
            f"SELECT COUNT_BIG(*), COUNT_BIG(CASE WHEN {missing} THEN 1 END)"
            f" FROM {self._all(self._keys)}"
        )

    @property
    def distinct_keys(self) -> str:
        """How many different keys there are."""
        return f"SELECT COUNT_BIG(*) FROM ({self._grouped}) AS k"

    @property
    def ambiguous_keys(self) -> str:
        """How many keys have several rows."""
        return f"SELECT COUNT_BIG(*) FROM ({self._grouped} HAVING COUNT_BIG(*) > 1) AS k"

    def together(self, into: ObjectName, columns: Sequence[str]) -> str:
        """Makes one staging table of them. Result: how many rows it has."""
        listed = names(columns, quote)
        return f"SELECT {listed} INTO {into.quoted}\nFROM {self._all(columns)}{_COUNT}"

    def newest(self, into: ObjectName, columns: Sequence[str], order_by: str) -> str:
        """Makes a staging table of the newest rows of each key, several where they are equally
        new. Result: how many.

        Args:
            into: its name.
            columns: the columns of the staging tables.
            order_by: the one that is largest in the newest row, null being the smallest.
        """
        listed = names(columns, quote)
        place = f"RANK() OVER (PARTITION BY {self._group} ORDER BY {quote(order_by)} DESC)"
        ranked = f"SELECT {listed}, {place} AS {_PLACE} FROM {self._all(columns)}"
        return (
            f"SELECT {listed} INTO {into.quoted}\nFROM ({ranked}) AS r\nWHERE {_PLACE} = 1;\n"
            f"SELECT COUNT_BIG(*) FROM {into.quoted}"
        )

    def update(self, staged: ObjectName, values: Mapping[str, str]) -> str:
        """Gives the rows of known keys their new values. Result: how many rows.

        Args:
            staged: one of the staging tables; `s` in expressions.
            values: for each column of the target, the expression that fills it; without keys and
                identity. When there is none, the rows are only locked and counted.
        """
        joined = f"{self._locked}\nINNER JOIN {staged.quoted} AS s ON {self._same}"
        if not values:
            return f"SELECT COUNT_BIG(*) FROM {joined}"
        listed = ", ".join(f"{quote(column)} = {value}" for column, value in values.items())
        return f"UPDATE t SET {listed}\nFROM {joined}{'' if self._plain else _COUNT}"

    def insert(self, staged: ObjectName, values: Mapping[str, str], *, identity: bool) -> str:
        """Adds the rows of new keys. Result: how many."""
        known = f"NOT EXISTS (SELECT 1 FROM {self._locked} WHERE {self._same})"
        return insert(
            self._target, staged, values, identity=identity, condition=known, plain=self._plain
        )

"""The statements by which rows are staged and published in SQLite, and the ledger. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from copy_core.connectors.sql.sqlite_catalog import OWN, fold
from copy_core.connectors.sql.sqlite_types import declare
from copy_core.connectors.sql.text import names, quote

if TYPE_CHECKING:
    import pyarrow as pa

_TYPE = re.compile(r"[\w ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?")

LEDGER = f"{OWN}ledger"

CREATE_LEDGER = f"""CREATE TABLE IF NOT EXISTS {quote(LEDGER)} (
  job TEXT NOT NULL,
  source TEXT NOT NULL,
  destination TEXT NOT NULL COLLATE NOCASE,
  sequence INTEGER NOT NULL,
  watermark TEXT,
  rows INTEGER NOT NULL,
  superseded INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  plan_id TEXT NOT NULL,
  incremental_column TEXT NOT NULL,
  published_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (job, source, destination, sequence)
) WITHOUT ROWID"""

LEDGER_ROWS = (
    "SELECT sequence, watermark, rows, superseded, bytes, plan_id, incremental_column"
    f" FROM {quote(LEDGER)}"
    " WHERE job = ? AND source = ? AND destination = ? ORDER BY sequence DESC"
)
LEDGER_FORGET = f"DELETE FROM {quote(LEDGER)} WHERE job = ? AND source = ? AND destination = ?"
LEDGER_RECORD = (
    f"INSERT INTO {quote(LEDGER)}"
    " (job, source, destination, sequence, watermark, rows, superseded, bytes, plan_id,"
    " incremental_column) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def stage_prefix(job: str, table: str) -> str:
    """How the names of all staging tables of (job, table) begin."""
    digest = hashlib.sha256(f"{job}\0{table}".encode()).hexdigest()[:16]
    return f"{OWN}stage_{digest}_"


def key_index(table: str, keys: Iterable[str]) -> str:
    """The name of the unique index that an upsert adds."""
    digest = hashlib.sha256("\0".join([fold(table), *sorted(map(fold, keys))]).encode())
    return f"{OWN}key_{digest.hexdigest()[:16]}"


def create(
    name: str, fields: Iterable[pa.Field], declared: Mapping[str, str], keys: Sequence[str] = ()
) -> str:
    """Creates a table.

    Args:
        name: its name.
        fields: its columns.
        declared: the declared types that are given, by folded name; others follow from the field.
        keys: its primary key.
    """
    columns = [
        f"{quote(f.name)} {_type(f, declared)}".rstrip() + ("" if f.nullable else " NOT NULL")
        for f in fields
    ]
    if keys:
        columns.append(f"PRIMARY KEY ({names(keys)})")
    return f"CREATE TABLE {quote(name)} ({', '.join(columns)})"


def _type(field: pa.Field, declared: Mapping[str, str]) -> str:
    given = declared.get(fold(field.name))
    # A declared type may be any quoted text; what is no plain type name is not repeated.
    return declare(field.type) if given is None or not _TYPE.fullmatch(given) else given


def insert(target: str, staged: str, columns: Sequence[str] | None) -> str:
    """Adds all staged rows; `columns` None when both tables have the same ones in the same order,
    which lets SQLite copy whole records.
    """
    if columns is None:
        return f"INSERT INTO {quote(target)} SELECT * FROM {quote(staged)}"
    listed = names(columns)
    return f"INSERT INTO {quote(target)} ({listed}) SELECT {listed} FROM {quote(staged)}"


class Upsert:
    """The statements of an upsert from one staging table.

    Args:
        target: the destination table.
        staged: the staging table.
        rowid: the name of the staging table's rowid.
        columns: the columns that are written.
        keys: the key columns, a subset of `columns`.
        collations: by which collation the target tells keys apart, by folded name.
        order: expressions whose descending order puts the newest row of a key first; may be empty.
    """

    def __init__(
        self,
        *,
        target: str,
        staged: str,
        rowid: str,
        columns: Sequence[str],
        keys: Sequence[str],
        collations: Mapping[str, str],
        order: Sequence[str],
    ) -> None:
        self._target, self._staged = quote(target), quote(staged)
        self._columns, self._keys, self._rowid = columns, keys, rowid
        same = [f"{quote(k)} COLLATE {quote(collations[fold(k)])}" for k in keys]
        self._group = ", ".join(same)
        self._ranked = (
            f"SELECT *, {rowid} AS {quote(_ROW)}, rank() OVER (PARTITION BY {self._group}"
            f" ORDER BY {', '.join(order) or '1'}) AS {quote(_PLACE)} FROM {self._staged}"
        )

    @property
    def null_keys(self) -> str:
        """How many rows have a null in the key."""
        missing = " OR ".join(f"{quote(k)} IS NULL" for k in self._keys)
        return f"SELECT count(*) FROM {self._staged} WHERE {missing}"

    @property
    def distinct_keys(self) -> str:
        """How many different keys there are."""
        return f"SELECT count(*) FROM (SELECT 1 FROM {self._staged} GROUP BY {self._group})"

    @property
    def ambiguous_keys(self) -> str:
        """How many keys have several rows that are equally new, be they the same or not."""
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM ({self._ranked}) WHERE {quote(_PLACE)} = 1"
            f" GROUP BY {self._group} HAVING count(*) > 1)"
        )

    def merge(self, *, unique: bool) -> str:
        """Inserts or updates; `unique` when no key occurs twice."""
        listed = names(self._columns)
        rest = [c for c in self._columns if c not in self._keys] or list(self._keys)
        update = ", ".join(f"{quote(c)} = excluded.{quote(c)}" for c in rest)
        rows = f"SELECT {listed} FROM {self._staged} WHERE true"
        if not unique:
            newest = (
                f"SELECT max({quote(_ROW)}) FROM ({self._ranked}) WHERE {quote(_PLACE)} = 1"
                f" GROUP BY {self._group}"
            )
            rows = f"SELECT {listed} FROM {self._staged} WHERE {self._rowid} IN ({newest})"
        return (
            f"INSERT INTO {self._target} ({listed}) {rows}"
            f" ON CONFLICT ({names(self._keys)}) DO UPDATE SET {update}"
        )


_ROW, _PLACE = f"{OWN}row", f"{OWN}place"


def descending(column: str, *, digits_as_text: bool) -> list[str]:
    """Expressions that put the largest value of a column first.

    Args:
        column: its name.
        digits_as_text: it holds decimals of one scale as text, which do not sort as numbers do.
    """
    name = quote(column)
    if not digits_as_text:
        return [f"{name} DESC"]
    below = f"{name} LIKE '-%'"
    return [
        f"{name} IS NULL",
        below,
        f"CASE WHEN {below} THEN length({name}) ELSE -length({name}) END",
        f"CASE WHEN {below} THEN {name} END",
        f"{name} DESC",
    ]

"""What a SQLite file says about its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql.sqlite_types import canonical, open_question
from copy_core.connectors.sql.text import Value, quote
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.sql.sqlite_db import Database

OWN = "_copyjob_"
"""How the names of our own tables begin."""

# Rows that are looked at where a declared type leaves a column's type open.
_SAMPLE_ROWS = 100
_SAMPLE_LENGTH = 100


@dataclass(frozen=True)
class TableColumn:
    """A column.

    Attributes:
        name: its name.
        declared: its declared type; "" when it has none.
        required: an insert has to give it a value that is not null.
        key: its place in the primary key from 1; 0 when it is not in it.
        generated: SQLite computes it.
        nullable: it may be null.
        sample: its values in the first rows, where the declared type leaves its type open.
    """

    name: str
    declared: str
    required: bool
    key: int
    generated: bool
    nullable: bool
    sample: tuple[Value, ...] = ()

    @cached_property
    def type(self) -> pa.DataType:
        """Its canonical type.

        Raises:
            ConfigError: nobody knows the declared type.
        """
        try:
            return canonical(self.declared, list(self.sample))
        except ConfigError as e:
            raise e.at(column=self.name) from None

    @property
    def refusal(self) -> str:
        """Why it cannot be copied; "" when it can."""
        try:
            canonical(self.declared, list(self.sample))
        except ConfigError as e:
            return e.what
        return ""

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, self.nullable)


@dataclass(frozen=True)
class Table:
    """A table, view or virtual table.

    Attributes:
        name: its name as the database spells it.
        kind: `table`, `view` or `virtual`.
        columns: its columns.
        rowid: the name under which its rowid can be had; "" when it has none.
    """

    name: str
    kind: str
    columns: tuple[TableColumn, ...]
    rowid: str

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(c.name for c in sorted(self.columns, key=lambda c: c.key) if c.key)

    def column(self, name: str) -> TableColumn:
        """The column of a name, upper and lower case alike.

        Raises:
            ConfigError: there is none.
        """
        for found in self.columns:
            if same(found.name, name):
                return found
        raise ConfigError(
            f"the table {self.name} has no such column",
            fix=f"Its columns are {', '.join(c.name for c in self.columns)}",
            code="column-missing",
            column=name,
        )


def same(one: str, other: str) -> bool:
    """Whether SQLite takes two names for one; it folds the case of ASCII letters only."""
    return fold(one) == fold(other)


def fold(name: str) -> str:
    """The form in which names are compared."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def table_names(db: Database) -> list[str]:
    """Names of all tables and views that are not SQLite's or ours."""
    found = db.rows(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow'"
        " AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, ?) <> ? ORDER BY name",
        (len(OWN), OWN),
    )
    return sorted(name for (name,) in found)


def find_table(db: Database, name: str) -> Table | None:
    """Looks at a table; None when there is none of that name."""
    kinds = db.rows(
        "SELECT name, type, wr FROM pragma_table_list(?) WHERE schema = 'main'", (name,)
    )
    if not kinds:
        return None
    name, kind, without_rowid = kinds[0]
    found = db.rows(
        'SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden'
        " FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid",
        (name,),
    )
    keys = [c for c in found if c[4]]
    rowid = ""
    if kind == "table" and not without_rowid:
        rowid = rowid_name([c[0] for c in found])
    columns = []
    asked = [c for c, declared, *_ in found if open_question(declared)]
    samples = sample(db, name, asked)
    for column, declared, not_null, has_default, key, hidden in found:
        alias = bool(rowid and key and len(keys) == 1 and declared.upper() == "INTEGER")
        columns.append(
            TableColumn(
                name=column,
                declared=declared,
                required=bool(not_null) and not has_default and not alias,
                key=key,
                generated=hidden in (2, 3),
                nullable=not (not_null or alias or (key and without_rowid)),
                sample=tuple(samples.get(column, ())),
            )
        )
    return Table(name, kind, tuple(columns), rowid)


def rowid_name(columns: list[str]) -> str:
    """The first name of the rowid that no column covers; "" when all are covered."""
    taken = {fold(c) for c in columns}
    return next((n for n in ("rowid", "_rowid_", "oid") if n not in taken), "")


def sample(db: Database, table: str, columns: list[str]) -> dict[str, list[Value]]:
    """Values of the first rows, without the nulls, by column."""
    if not columns:
        return {}
    found: dict[str, list[Value]] = {}
    for column in columns:
        # ADBC blends the types of one result column, and stops at text that is no UTF-8.
        rows = db.rows(
            "SELECT typeof(v), CASE WHEN typeof(v) = 'text'"
            f" THEN hex(substr(v, 1, {_SAMPLE_LENGTH})) END"
            f" FROM (SELECT {quote(column)} AS v FROM {quote(table)} LIMIT {_SAMPLE_ROWS})"
        )
        found[column] = [
            bytes.fromhex(text).decode(errors="replace") if kind == "text" else _LIKE[kind]
            for kind, text in rows
            if kind != "null"
        ]
    return found


_LIKE: dict[str, Value] = {"integer": 0, "real": 0.0, "blob": b""}


def index_collations(db: Database, table: Table, keys: tuple[str, ...]) -> dict[str, str] | None:
    """The collation of each key in a unique index on exactly `keys`; None without such an index."""
    wanted = {fold(k) for k in keys}
    indexes = db.rows(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table.name,)
    )
    for (index,) in indexes:
        parts = db.rows("SELECT name, coll FROM pragma_index_xinfo(?) WHERE key", (index,))
        if all(p[0] for p in parts) and {fold(p[0]) for p in parts} == wanted:
            return {fold(name): collation for name, collation in parts}
    if {fold(k) for k in table.keys} == wanted:
        return dict.fromkeys(wanted, "BINARY")
    return None

"""Tables as a database of SQL Server describes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from copy_core.connectors.sql.mssql.names import ObjectName
from copy_core.connectors.sql.mssql.types import SeventhDigit, SqlType, canonical
from copy_core.errors import ConfigError


@dataclass(frozen=True)
class TableColumn:
    """A column.

    Attributes:
        name: its name as the database spells it.
        type: its type.
        nullable: it may be null.
        key: its place in the primary key from 1; 0 when it is not in it.
        identity: the server numbers it.
        computed: the server computes it from others; so is a column set, which gathers sparse ones.
        generated: the server fills it: a rowversion, the period of a temporal table.
        has_default: an insert may leave it out though it is not null.
        sparse: its nulls take no room.
        collation: the collation of text; "" for other types.
        encrypted: the server keeps it encrypted, and has no key (Always Encrypted).
        masked: this login sees only a mask of its values.
        seventh_digit: what becomes of times finer than microseconds.
    """

    name: str
    type: SqlType
    nullable: bool = True
    key: int = 0
    identity: bool = False
    computed: bool = False
    generated: bool = False
    has_default: bool = False
    sparse: bool = False
    collation: str = ""
    encrypted: bool = False
    masked: bool = False
    seventh_digit: SeventhDigit = "fail"

    @cached_property
    def canonical(self) -> pa.DataType:
        """The canonical type that it is read as.

        Raises:
            ConfigError: nothing stands for its type.
        """
        try:
            return canonical(self.type, self.seventh_digit)
        except ConfigError as e:
            raise e.at(column=self.name) from None

    @property
    def refusal(self) -> str:
        """Why it cannot be read; "" when it can."""
        if self.encrypted:
            return "the column is always encrypted, and the key to it is not the server's"
        if self.masked:
            return "the column is masked, and the login lacks the permission UNMASK"
        try:
            canonical(self.type, self.seventh_digit)
        except ConfigError as e:
            return e.what
        return ""

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.canonical, self.nullable)

    @property
    def writable(self) -> bool:
        """Whether an insert may give it a value (for an identity, with IDENTITY_INSERT)."""
        return not (self.computed or self.generated)

    @property
    def required(self) -> bool:
        """Whether an insert must give it a value that is not null."""
        free = self.nullable or self.has_default or self.identity
        return self.writable and not free


@dataclass(frozen=True)
class Index:
    """An enabled B-tree index over all rows of a table.

    Attributes:
        name: its name.
        columns: its key columns, in their order.
        unique: no two rows agree in its columns; nulls are values here.
        clustered: the table itself is kept in its order.
        primary: it is the primary key's.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool
    clustered: bool
    primary: bool


@dataclass(frozen=True)
class Partitioning:
    """How a table is cut into physical partitions, numbered from 1.

    Attributes:
        function: the name of the partition function, for `$PARTITION`.
        column: the column that it is applied to.
        count: how many partitions there are.
    """

    function: str
    column: str
    count: int


@dataclass(frozen=True)
class Table:
    """A table, a view, or a query that stands for one.

    Attributes:
        name: its name as the database spells it; a query has what people call it as `table`, and
            no schema.
        kind: `table`, `view` or `query`.
        columns: its columns.
        indexes: its indexes, the clustered one first.
        partitioning: its physical partitions; None when it is one piece.
        rows: how many rows it has, roughly; None when the server does not say.
        bytes: how large it is, roughly; None likewise.
        instead_of: a trigger takes the place of its inserts, updates or deletes.
        memory_optimized: it lives in memory, where snapshots need a hint of their own.
        object_id: the server's number of it; 0 for a query.
        query: the query; "" when it is a table or view.
    """

    name: ObjectName
    kind: Literal["table", "view", "query"]
    columns: tuple[TableColumn, ...]
    indexes: tuple[Index, ...] = ()
    partitioning: Partitioning | None = None
    rows: int | None = None
    bytes: int | None = None
    instead_of: bool = False
    memory_optimized: bool = False
    object_id: int = 0
    query: str = ""

    @property
    def label(self) -> str:
        """The name as people write it."""
        return self.name.text if self.name.schema else self.name.table

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(c.name for c in sorted(self.columns, key=lambda c: c.key) if c.key)

    def column(self, name: str) -> TableColumn:
        """The column of a name as the database spells it, or else the only one that differs from
        it in upper and lower case alone.

        Raises:
            ConfigError: there is none.
        """
        for found in self.columns:
            if found.name == name:
                return found
        alike = [c for c in self.columns if c.name.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        raise ConfigError(
            f"the table {self.label} has no such column",
            fix=f"Its columns are {', '.join(c.name for c in self.columns)}",
            code="column-missing",
            column=name,
        )

"""The versions of a table as a column of its rows, and what pins one of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import pyarrow as pa

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from copy_core.watermark import Window

COMMIT_VERSION = "_commit_version"
"""The hidden column that holds the version with which a row's file came into the table; in a copy
that is not a window of it, the version that is read. It has the name that Delta's own change data
feed gives it (https://docs.delta.io/latest/delta-change-data-feed.html)."""


def hidden(schema: pa.Schema) -> pa.Schema:
    """The columns that rows have besides those of their table: none where the table has a column
    of that name, in any case, itself.
    """
    own = {name.lower() for name in schema.names}
    fields = [pa.field(COMMIT_VERSION, pa.int64(), nullable=False)]
    return pa.schema([field for field in fields if field.name not in own])


class Pin(NamedTuple):
    """One version of one table.

    Attributes:
        version: its number.
        table: the id that the table got when it was made; "" when that is not known.
    """

    version: int
    table: str = ""

    @classmethod
    def of(cls, table: DeltaTable) -> Self:
        """The version that a table was opened at."""
        return cls(table.version(), str(table.metadata().id))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`."""
        version, _, table = text.partition("@")
        return cls(int(version), table)

    def __str__(self) -> str:
        return f"{self.version}@{self.table}" if self.table else str(self.version)


class Span(NamedTuple):
    """The versions whose rows a copy reads.

    Attributes:
        low: the last that was copied; -1 when none was.
        high: the last to copy.
    """

    low: int
    high: int


def span(window: Window) -> int | Span:
    """What a window of `COMMIT_VERSION` reads: the versions in it, or, as a first load that has no
    lower bound, all of the table as it is at one version.
    """
    high = -1 if window.high is None else int(window.high.value)
    if window.low is None and high >= 0:
        return high
    low = -1 if window.low is None else int(window.low.value)
    return Span(max(low, -1), high)

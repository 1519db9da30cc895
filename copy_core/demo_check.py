"""Compares the demo's two ends by queries that share no code with the copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

# What is added up of a column, by its type: at the source, and in the lake. Whole numbers only,
# because a sum of floats depends on the order of its terms.
_FIGURES = {
    "INTEGER": ("{}", "{}"),
    "REAL": ("CAST(round({} * 1000) AS INTEGER)", "CAST(round({} * 1000) AS BIGINT)"),
    "TEXT": ("length({})", "length({})"),
    "DATETIME": ("CAST(strftime('%s', {}) AS INTEGER)", "CAST(date_part('epoch', {}) AS BIGINT)"),
}


class Figures(NamedTuple):
    """What a table comes to.

    Attributes:
        rows: how many rows it has.
        columns: the count and the sum of each column.
    """

    rows: int
    columns: tuple[int | None, ...]


def columns(database: Path, table: str) -> dict[str, str]:
    """The columns of a table of the source, and their types."""
    with closing(sqlite3.connect(database)) as db:
        found = db.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
        return dict(found.fetchall())


def at_source(database: Path, table: str) -> Figures:
    """The figures of a table of the source, by SQLite."""
    query = _query(table, columns(database, table), 0)
    with closing(sqlite3.connect(database)) as db:
        rows, *rest = db.execute(query).fetchone()
    return Figures(rows, tuple(rest))


def in_lake(lake: Path, table: str, types: Mapping[str, str]) -> Figures:
    """The same figures of a Delta table, by the query engine of delta-rs."""
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    engine = QueryBuilder().register(table, DeltaTable(lake / table))
    [row] = pa.table(engine.execute(_query(table, types, 1))).to_pylist()
    rows, *rest = row.values()
    return Figures(rows, tuple(rest))


def _query(table: str, types: Mapping[str, str], side: int) -> str:
    terms = ["count(*) AS n"]
    for number, (name, kind) in enumerate(types.items()):
        figure = _FIGURES[kind][side].format(f'"{name}"')
        terms += [f'count("{name}") AS c{number}', f"sum({figure}) AS s{number}"]
    return f'SELECT {", ".join(terms)} FROM "{table}"'  # noqa: S608 - the demo's own names

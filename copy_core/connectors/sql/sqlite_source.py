"""Reads tables of a SQLite file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.sql import sqlite_catalog as catalog
from copy_core.connectors.sql.sqlite_db import FAILURES, Database, translate
from copy_core.connectors.sql.sqlite_dialect import SqliteTerms, number, select
from copy_core.connectors.sql.sqlite_types import text_affinity
from copy_core.connectors.sql.sqlite_values import decoder, physical
from copy_core.connectors.sql.text import Sql, bind, join, literal, quote
from copy_core.connectors.sql.where import shape, where
from copy_core.errors import ConfigError, TerminalError
from copy_core.watermark import Watermark, is_time

if TYPE_CHECKING:
    from copy_core.connectors.options import SqliteOptions
    from copy_core.connectors.sql.sqlite_catalog import Table, TableColumn
    from copy_core.connectors.sql.text import Value
    from copy_core.model import JsonDict, Slice
    from copy_core.watermark import Kind

_MISMATCH = re.compile(r"Type mismatch in column (\d+)")

# No row of a table takes less, so a file's size bounds its rows.
_SMALLEST_ROW = 4


class SqliteSource(Source):
    """Tables and views of a SQLite file, which is opened for reading only.

    Splits are ranges of rowids. A row that is added while parts are read belongs to one of them.
    """

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, options: SqliteOptions) -> None:
        self._path = options.path
        self._db = Database(options.path, write=False)

    def close(self) -> None:
        self._db.close()

    def objects(self) -> list[str]:
        return catalog.table_names(self._db)

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        table = self._table(name)
        return TableInfo(
            object=name,
            schema=pa.schema([c.field for c in table.columns if not c.refusal]),
            uncopyable={c.name: c.refusal for c in table.columns if c.refusal},
            keys=table.keys,
            rows=self._row_estimate(table),
            watermarks=self._watermarks(table),
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        """The largest value of a column.

        Times are text here, and text in another format than the watermark's may lie below it for
        ever. So the whole column is looked at for its format, rows that were copied long ago too,
        for any of them may have been changed since: a scan, of an index if the column has one.
        """
        table = self._table(info.object)
        found = table.column(column)
        terms = SqliteTerms({column: found})
        name, source = terms.name(column), quote(table.name)
        later = Sql(f"{name} IS NOT NULL")
        if above is not None:
            later = f"{name} > " + terms.bound(column, above)
        text = "CASE typeof(v) WHEN 'blob' THEN NULL ELSE CAST(v AS TEXT) END"
        top = f"SELECT typeof(v), {text} FROM (SELECT max({name}) AS v FROM {source} WHERE "
        [(stored_as, value)] = self._db.rows(top + later + ")")
        kind = info.watermarks[column]
        if kind in ("int", "decimal"):
            if stored_as == "null":
                return None
            wanted = ("integer",) if kind == "int" else ("integer", "real")
            # The text must stand for the value itself, or the row of the newest value is lost.
            again = f"SELECT count(*) FROM {source} WHERE {name} = " + number(value)
            if stored_as not in wanted or (stored_as == "real" and not self._db.value(again)):
                raise self._unordered(table, column, kind)
            return Watermark(kind=kind, value=value)
        model = above.value if above is not None else value
        if stored_as == "null" and model is None:
            return None
        # Any blob is above all text, so that the largest value is one; no number looks like a time.
        ordered = stored_as in ("null", "text") and is_time(value or model or "")
        odd = f"SELECT 1 FROM {source} WHERE {name} NOT GLOB "
        if not ordered or self._db.rows(odd + bind(shape(model or "")) + " LIMIT 1"):
            raise self._unordered(table, column, "ISO 8601 text of one length, separator and zone")
        if value is None:
            return None
        return Watermark(kind="date" if len(value) == 10 else "timestamp", value=value)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        table = self._table(info.object)
        name = quote(table.column(column).name)
        return int(self._db.value(f"SELECT count(*) FROM {quote(table.name)} WHERE {name} IS NULL"))

    def predicate(self, part: Slice) -> str:
        return self._condition(self._table(part.object), part).readable(literal)

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        table = self._table(info.object)
        key = _range_key(table)
        if parts <= 1 or not key:
            return [whole]
        condition = self._condition(table, whole)
        among = " WHERE " + condition if condition.marked else Sql("")
        # Two queries in one, because SQLite looks only a single min or max up in the index.
        ends = [f"(SELECT {end}({key}) FROM {quote(table.name)}" + among + ")" for end in _ENDS]
        [(first, last)] = self._db.rows("SELECT " + join(", ", ends))
        if first is None or not isinstance(first, int) or not isinstance(last, int):
            return [whole]
        if last == first:
            return [whole]
        step = -(-(last - first + 1) // parts)
        cuts: list[int | None] = [None, *range(first + step - 1, last, step), None]
        return [
            whole.model_copy(update={"range": {"after": low, "to": high}})
            for low, high in pairwise(cuts)
        ]

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        table = self._table(part.object)
        columns = [table.column(name) for name in part.columns]
        fields = [c.field.with_name(name) for c, name in zip(columns, part.columns, strict=True)]
        schema = pa.schema(fields)
        decode = [decoder(field) for field in fields]
        statement = select(columns, table.name, self._condition(table, part))
        read_as = pa.schema([(f"c{i}", physical(f.type)) for i, f in enumerate(fields)])
        first = True
        try:
            for batch in self._db.stream(statement, batch_rows):
                if first:
                    self._check(batch.schema, read_as, table, columns)
                rows = batch.slice(1) if first else batch
                first = False
                if rows.num_rows:
                    arrays = [d(c) for d, c in zip(decode, rows.columns, strict=True)]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except FAILURES as e:
            if match := _MISMATCH.search(str(e)):
                raise self._misfit(table, columns[int(match[1])]) from e
            raise translate(e, self._path).at(table=table.name) from e

    def _check(
        self, got: pa.Schema, wanted: pa.Schema, table: Table, columns: list[TableColumn]
    ) -> None:
        for i, column in enumerate(columns):
            if got.field(i).type != wanted.field(i).type:
                raise self._misfit(table, column)

    def _misfit(self, table: Table, column: TableColumn) -> TerminalError:
        declared = column.declared or "no declared type"
        return TerminalError(
            f"a value does not fit the column's type ({declared}, read as {column.type})",
            fix="SQLite keeps any value in any column: look for it with typeof(), correct it, or"
            " read a view that casts the column",
            code="value-type",
            table=table.name,
            column=column.name,
        )

    def _unordered(self, table: Table, column: str, wanted: str) -> TerminalError:
        return TerminalError(
            f"the column has values that cannot be ordered safely: not all are {wanted}",
            fix="Choose another incremental column, or bring its values into one format",
            code="watermark-value",
            table=table.name,
            column=column,
        )

    def _table(self, name: str) -> Table:
        found = catalog.find_table(self._db, name)
        if found is None or found.name.startswith(catalog.OWN):
            raise ConfigError(
                f"there is no table {name}",
                fix=near(name, self.objects()),
                code="table-missing",
                table=name,
                file=self._path,
            )
        return found

    def _condition(self, table: Table, part: Slice) -> Sql:
        asked = {c.column for c in part.filter} | {part.window.column} - {None}
        terms = SqliteTerms({name: table.column(name) for name in asked if name})
        limits = _limits(_range_key(table), part.range) if part.range else None
        return where(part, terms, limits)

    def _row_estimate(self, table: Table) -> int | None:
        stat = None
        if self._db.value("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"):
            asked = "SELECT stat FROM sqlite_stat1 WHERE tbl = ? LIMIT 1"
            stat = self._db.value(asked, (table.name,))
        if stat:
            return int(stat.split()[0])
        key = _range_key(table)
        if not key:
            return None
        ends = ", ".join(f"(SELECT {end}({key}) FROM {quote(table.name)})" for end in _ENDS)
        [(first, last)] = self._db.rows(f"SELECT {ends}")
        if not isinstance(first, int) or not isinstance(last, int):
            return 0
        size = self._db.value("PRAGMA page_count") * self._db.value("PRAGMA page_size")
        return int(min(last - first + 1, size // _SMALLEST_ROW))

    def _watermarks(self, table: Table) -> dict[str, Kind]:
        columns = [c for c in table.columns if not c.refusal]
        texts = [c.name for c in columns if pa.types.is_string(c.type)]
        samples = catalog.sample(self._db, table.name, texts)
        kinds = {c.name: _kind(c, samples.get(c.name, [])) for c in columns}
        return {name: kind for name, kind in kinds.items() if kind}


_ENDS = ("min", "max")


def _kind(column: TableColumn, sample: list[Value]) -> Kind | None:
    """What watermarks a column gives. A text column that holds anything but times gives none."""
    kind, t = column.type, pa.types
    if t.is_integer(kind):
        return "int"
    if t.is_decimal(kind):
        return None if text_affinity(column.declared) else "decimal"
    if t.is_date(kind):
        return "date"
    if t.is_timestamp(kind):
        return "timestamp"
    if t.is_string(kind) and all(isinstance(v, str) and is_time(v) for v in sample):
        return "date" if sample and len(str(sample[0])) == 10 else "timestamp"
    return None


def _range_key(table: Table) -> str:
    """What rows can be cut into ranges by: an expression; "" when there is nothing."""
    if table.rowid:
        return table.rowid
    keys = [c for c in table.columns if c.key]
    if table.kind != "table" or len(keys) != 1 or keys[0].refusal:
        return ""
    return quote(keys[0].name) if keys[0].type == pa.int64() else ""


def _limits(key: str, given: JsonDict) -> Sql:
    ends = [("after", ">"), ("to", "<=")]
    return join(
        " AND ", [f"{key} {op} " + bind(given[n]) for n, op in ends if given[n] is not None]
    )

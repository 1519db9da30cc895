"""Tables in this process' memory: the reference implementation, in the plainest code there is."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.arrow_merge import newest_per_key, written
from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
    TableInfo,
    check_keys,
    near,
)
from copy_core.connectors.options import MemoryOptions
from copy_core.errors import ConfigError, TerminalError
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import copyable, reconcile, schema_from_json
from copy_core.watermark import Watermark, is_time

_CLOCK = re.compile(r"(\d{4}-\d\d-\d\d(?:[ T][\d:.]+)?)(.*)")


class Stored(NamedTuple):
    """A table and its primary key."""

    rows: pa.Table
    keys: tuple[str, ...] = ()


class StagedKey(NamedTuple):
    """Which attempt at which part some staged rows come from."""

    job: str
    table: str
    sequence: int
    part: int
    token: str


class LedgerKey(NamedTuple):
    """Whose commits into which destination table."""

    object: str
    job: str
    table: str


class MemoryStore:
    """Named tables, what is staged for them, and the ledger. Its methods are safe in threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tables: dict[str, Stored] = {}
        self.staged: dict[StagedKey, pa.Table] = {}
        self.ledger: dict[LedgerKey, dict[int, Published]] = {}

    def put(self, name: str, rows: pa.Table, keys: Iterable[str] = ()) -> None:
        """Makes `rows` the table `name`, whatever that was before."""
        with self.lock:
            self.tables[name] = Stored(rows, tuple(keys))

    def append(self, name: str, rows: pa.Table) -> None:
        """Adds `rows`, of the table's schema, behind the rows of the table `name`."""
        with self.lock:
            old = self.tables[name]
            self.put(name, pa.concat_tables([old.rows, rows]), old.keys)

    def read(self, name: str) -> pa.Table:
        """The rows of the table `name`.

        Raises:
            KeyError: there is no such table.
        """
        with self.lock:
            return self.tables[name].rows

    def drop(self, name: str) -> None:
        """Removes the table `name`; its ledger stays, as it would elsewhere."""
        with self.lock:
            self.tables.pop(name, None)

    def clear(self) -> None:
        """Forgets everything."""
        with self.lock:
            self.tables.clear()
            self.staged.clear()
            self.ledger.clear()


_stores: dict[str, MemoryStore] = {}


def store(name: str = "default") -> MemoryStore:
    """The process' store of that name; it is there from the first time it is asked for."""
    return _stores.setdefault(name, MemoryStore())


class MemorySource(Source):
    """Reads the tables of a store."""

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, options: MemoryOptions) -> None:
        self._store = store(options.name)

    def objects(self) -> list[str]:
        with self._store.lock:
            return sorted(self._store.tables)

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        stored = self._stored(name)
        schema, uncopyable = copyable(stored.rows.schema)
        return TableInfo(
            object=name,
            schema=schema,
            uncopyable=uncopyable,
            keys=stored.keys,
            rows=stored.rows.num_rows,
            watermarks=arrow_filter.watermark_kinds(schema),
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        del above
        values = self._rows(info.object)[column]
        if pa.types.is_string(values.type):
            _check_times(values, info.object, column)
        text = pc.max(values).cast(pa.string()).as_py()
        return None if text is None else Watermark(kind=info.watermarks[column], value=text)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        return int(self._rows(info.object)[column].null_count)

    def predicate(self, part: Slice) -> str:
        rows = part.range and f"row number >= {part.range['start']}"
        if part.range and part.range["end"] is not None:
            rows = f"{rows} and row number < {part.range['end']}"
        return " and ".join(term for term in (rows, arrow_filter.text(part)) if term)

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        """Cuts at row numbers; rows that are added come behind the others, in the last part."""
        rows = self._rows(info.object)
        numbered = rows.append_column("", pa.array(range(rows.num_rows), pa.int64()))
        chosen = _chosen(numbered, whole).column(numbered.num_columns - 1)
        count = max(1, min(parts, len(chosen)))
        cuts = [0, *(chosen[len(chosen) * i // count].as_py() for i in range(1, count)), None]
        return [
            whole.model_copy(update={"range": {"start": start, "end": end}})
            for start, end in pairwise(cuts)
        ]

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        rows = self._rows(part.object)
        if part.range:
            start, end = part.range["start"], part.range["end"]
            rows = rows.slice(start, None if end is None else end - start)
        if missing := [name for name in part.columns if name not in rows.column_names]:
            raise ConfigError(
                "the source table has no such column",
                fix=near(missing[0], rows.column_names),
                code="column-missing",
                table=part.object,
                column=missing[0],
            )
        yield from _chosen(rows, part).select(list(part.columns)).to_batches(batch_rows)

    def _stored(self, name: str) -> Stored:
        with self._store.lock:
            if found := self._store.tables.get(name):
                return found
            raise ConfigError(
                "there is no such table",
                fix=near(name, list(self._store.tables)),
                code="table-missing",
                table=name,
            )

    def _rows(self, name: str) -> pa.Table:
        rows = self._stored(name).rows
        try:
            schema, _ = copyable(rows.schema)
            return rows.select(schema.names).cast(schema)
        except (pa.ArrowException, ValueError) as e:
            raise TerminalError(f"a value does not fit: {e}", code="bad-value", table=name) from e


class MemoryDestination(Destination):
    """Writes tables of a store."""

    capabilities = DestinationCapabilities(modes=frozenset({"append", "upsert", "overwrite"}))

    def __init__(self, options: MemoryOptions) -> None:
        self._store = store(options.name)

    def prepare(self, target: Target) -> pa.Schema:
        incoming = schema_from_json(target.columns)
        existing = self._store.tables.get(target.object)
        try:
            schema = incoming
            if existing is not None:
                schema, _ = reconcile(existing.rows.schema, incoming, target.drift)
        except ConfigError as e:
            raise e.at(table=target.object) from None
        check_keys(target, schema)
        return schema

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        rows = pa.Table.from_batches(batches, schema=self.prepare(target))
        key = StagedKey(target.job, target.table, target.sequence, part, secrets.token_hex(8))
        with self._store.lock:
            self._store.staged[key] = rows
        ref = {"token": key.token}
        return Staged(part=part, rows=rows.num_rows, bytes=rows.nbytes, ref=ref)

    def publish(self, commit: Commit) -> Published:
        target = commit.target
        with self._store.lock:
            commits = self._commits(target.object, target.job, target.table)
            if target.sequence in commits:
                return commits[target.sequence]
            schema = self.prepare(target)
            arrived = pa.concat_tables([schema.empty_table(), *self._staged(commit)])
            rows = newest_per_key(arrived, target) if target.write == "upsert" else arrived
            stored = self._store.tables.get(target.object, Stored(schema.empty_table()))
            table = written(stored.rows, rows, target)
            published = commit.published(
                rows=rows.num_rows,
                superseded=arrived.num_rows - rows.num_rows,
                bytes=rows.nbytes,
            )
            self._store.put(target.object, table, stored.keys)
            commits[target.sequence] = published
            return published

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        with self._store.lock:
            commits = self._commits(name, job, table) if name in self._store.tables else {}
            return commits[max(commits)] if commits else None

    def clean(self, target: Target) -> None:
        with self._store.lock:
            for key in list(self._store.staged):
                ours = (key.job, key.table) == (target.job, target.table)
                if ours and key.sequence <= target.sequence:
                    del self._store.staged[key]

    def _commits(self, name: str, job: str, table: str) -> dict[int, Published]:
        return self._store.ledger.setdefault(LedgerKey(name, job, table), {})

    def _staged(self, commit: Commit) -> list[pa.Table]:
        target = commit.target
        found = []
        for part in commit.staged:
            token = part.ref["token"]
            key = StagedKey(target.job, target.table, target.sequence, part.part, token)
            rows = self._store.staged.get(key)
            if rows is None or rows.num_rows != part.rows:
                raise TerminalError(
                    f"what was staged for part {part.part} is gone or incomplete",
                    fix="Run the job again; it stages the part anew",
                    code="staged-missing",
                    job=target.job,
                    table=target.table,
                )
            found.append(rows)
        return found


def _chosen(rows: pa.Table, part: Slice) -> pa.Table:
    condition = arrow_filter.expression(part, rows.schema)
    return rows if condition is None else rows.filter(condition)


def _check_times(values: pa.ChunkedArray, table: str, column: str) -> None:
    """Text is ordered as text: that is the order of time only in one format and zone."""
    shapes = set()
    for value in values.drop_null().unique().to_pylist():
        match = _CLOCK.fullmatch(value)
        shapes.add((re.sub(r"\d", "0", match[1]), match[2]) if match and is_time(value) else None)
    if None in shapes or len(shapes) > 1:
        raise TerminalError(
            "the column holds text that is not time in one format",
            fix="Choose an incremental column of a date, time or number type",
            code="watermark-value",
            table=table,
            column=column,
        )

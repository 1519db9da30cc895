"""An upsert: files of the table that hold keys that arrive are written anew without them.

A row that arrives replaces the row of its key as a whole. The keys are worked through in ranges of
about two million rows: memory holds the keys of one range, never whole rows. On 20 million rows
that is a fraction of what the merge of delta-rs takes, which remains for tables whose files are
not ours to place.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs as pafs

from copy_core.connectors.delta import keys
from copy_core.connectors.delta.columns import Fit
from copy_core.connectors.delta.parquet import Written
from copy_core.connectors.delta.rows import DataFile, Rows, Span, Where
from copy_core.connectors.delta.scan import Scan
from copy_core.connectors.delta.staging import data_files
from copy_core.connectors.delta.writing import write
from copy_core.errors import TerminalError
from copy_core.model import Target

_BATCH = 65_536
_RANGE_ROWS = 2_000_000
_SAMPLE = 100_000
# Files that are written anew at the same time: as many as a job copies parts at once.
_AT_ONCE = 4


class Arrivals:
    """The staged rows of an upsert, the newest of each key.

    Attributes:
        superseded: how many staged rows a newer one of the same key replaces.
    """

    def __init__(
        self, files: pafs.FileSystem, staged: Sequence[Written], shape: Fit, target: Target
    ) -> None:
        """Reads the keys of what is staged.

        Raises:
            TerminalError: a key is null, or has several rows that nothing orders.
        """
        self._files, self._staged, self._keys = files, staged, list(target.keys)
        self._shape = shape
        # By path, what replaces each file of the table that was met; None: nothing has to.
        self._kept: dict[str, list[Written] | None] = {}
        self._rows = Rows(files, target.object, shape.schema)
        self._sources = data_files(files, staged, shape.schema)
        self._check_nulls(target)
        self._ranges = self._cut()
        indexes = (self._index(where, target.order_by) for where in self._ranges)
        dropped = [keys.superseded(index, target) for index in indexes if index is not None]
        self._dropped = pa.concat_tables(dropped) if dropped else None
        self.superseded = sum(rows.num_rows for rows in dropped)

    def written(self, stem: str) -> list[Written]:
        """Files of the rows that stay: those staged, or shorter ones in their place."""
        kept: list[Written] = []
        for source, file in zip(self._sources, self._staged, strict=True):
            gone = keys.positions(self._dropped, source.number) if self._dropped else []
            if len(gone):
                schema, by = self._shape.schema, self._shape.by
                rows = self._rows.read([Span(source)], schema.names, _BATCH)
                stay = keys.without(rows, gone)
                kept += write(self._files, f"{stem}-newest-{source.number}", schema, stay, by)
            else:
                kept.append(file)
        return kept

    def rewrite(self, scan: Scan, stem: str) -> tuple[list[DataFile], list[Written]]:
        """Writes the table's files anew that hold rows of keys that arrive, without these rows.

        A file never changes: what an earlier attempt did about it holds for as long as the table
        has it.

        Returns:
            The files that are replaced, and those that replace them.
        """
        found = self._replaced(scan)

        def kept(file: DataFile) -> list[Written] | None:
            if file.number not in found:
                return None
            rows = scan.data.read([Span(file)], scan.schema.names, _BATCH)
            stay = keys.without(rows, found[file.number])
            stem_of = f"{stem}-kept-{file.number}"
            return write(self._files, stem_of, scan.schema, stay, self._shape.by)

        unmet = [file for file in scan.files if file.path not in self._kept]
        with ThreadPoolExecutor(_AT_ONCE, "rewrite") as pool:
            self._kept |= zip((file.path for file in unmet), pool.map(kept, unmet), strict=True)
        replaced, added = [], []
        for file in scan.files:
            if (written := self._kept[file.path]) is not None:
                replaced.append(file)
                added += written
        return replaced, added

    def _replaced(self, scan: Scan) -> dict[int, pa.Int64Array]:
        """The rows whose keys arrive of the files that no attempt has met yet, by the numbers of
        these files.
        """
        found: dict[int, list[pa.Array]] = {}
        names = keys.names(self._keys)
        for where in self._ranges:
            index = self._index(where)
            if index is None:
                continue
            arriving = index.select(names)
            near = _near(arriving, self._keys)
            for file in scan.holding(near):
                if file.path in self._kept:
                    continue
                there = keys.Index(self._keys)
                span = [Span(file)]
                there.add(0, scan.data.read(span, self._keys, _BATCH, near, numbered=True))
                if (rows := there.table()) is not None:
                    same = rows.join(arriving, names, join_type="left semi")
                    if same.num_rows:
                        found.setdefault(file.number, []).append(keys.positions(same, 0))
        return {number: keys.ascending(pa.concat_arrays(rows)) for number, rows in found.items()}

    def _index(self, where: Where | None, order_by: str = "") -> pa.Table | None:
        """The keys of staged rows under a condition; None when there are none."""
        index = keys.Index(self._keys, order_by)
        for source in self._sources:
            span = [Span(source)]
            read = self._rows.read(span, index.columns, _BATCH, where, numbered=True)
            index.add(source.number, read)
        return index.table()

    def _cut(self) -> list[Where | None]:
        """Conditions that cut the keys into ranges of about the same number of rows."""
        total = sum(file.rows for file in self._staged)
        ranges = -(-total // _RANGE_ROWS)
        if ranges <= 1:
            return [None]
        sample, stride = [], max(1, total // _SAMPLE)
        for batch in self._rows.read(map(Span, self._sources), self._keys, _BATCH):
            every = pa.array(range(0, batch.num_rows, stride), pa.int64())
            sample.append(batch.take(every))
        rows = pa.Table.from_batches(sample)
        return keys.ranges(rows, ranges)

    def _check_nulls(self, target: Target) -> None:
        for key in target.keys:
            if any(file.nulls.get(key) for file in self._staged):
                raise TerminalError(
                    "a row has no value in a key column",
                    fix="Choose `keys` that every row has, or filter such rows out",
                    code="null-key",
                    column=key,
                )


def _near(arriving: pa.Table, names: Sequence[str]) -> Where | None:
    """The condition that a row's keys lie between the least and the largest that arrive."""
    condition, used = None, []
    t = pa.types
    for column, name in zip(arriving.columns, names, strict=True):
        kind = column.type
        if t.is_integer(kind) or t.is_date(kind) or t.is_timestamp(kind) or t.is_string(kind):
            edges = pc.min_max(column)
            term = (pc.field(name) >= edges["min"]) & (pc.field(name) <= edges["max"])
            condition = term if condition is None else condition & term
            used.append(name)
    return None if condition is None else Where(condition, tuple(used))

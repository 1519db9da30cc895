"""Keys of rows and where the rows are: which are superseded, and files without some rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.delta.rows import ROW, Where, counting
from copy_core.errors import TerminalError
from copy_core.model import Target

_FILE, _ROW, _ORDER = "file", "row", "order"


class Index:
    """The keys of some rows, in memory, and where each row is.

    Columns are called `k0`, `k1` and so on for the keys, `order`, `file` and `row`: a table may
    call its own anything.

    Attributes:
        columns: the columns to read of each file.
    """

    def __init__(self, keys: Sequence[str], order_by: str = "") -> None:
        self._keys, self._order_by = dict(zip(keys, names(keys), strict=True)), order_by
        self.columns = list(dict.fromkeys([*keys, *([order_by] if order_by else [])]))
        self._batches: list[pa.RecordBatch] = []

    def add(self, file: int, batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows of a file, with `columns` and their numbers."""
        for batch in batches:
            arrays = {name: batch.column(key) for key, name in self._keys.items()}
            if self._order_by:
                arrays[_ORDER] = batch.column(self._order_by)
            arrays[_FILE] = pa.repeat(pa.scalar(file, pa.int32()), batch.num_rows)
            arrays[_ROW] = batch.column(ROW)
            self._batches.append(pa.record_batch(arrays))

    def table(self) -> pa.Table | None:
        """What was added; None when there was no row."""
        return pa.Table.from_batches(self._batches) if self._batches else None


def names(keys: Sequence[str]) -> list[str]:
    """What the key columns are called in an index."""
    return [f"k{n}" for n in range(len(keys))]


def ranges(sample: pa.Table, count: int) -> list[Where | None]:
    """Conditions of which every row meets one, and about the same number of rows each.

    Args:
        sample: the keys of some of the rows; the one that differs most is cut into ranges.
        count: how many ranges; fewer when that key has not so many values.
    """
    name = max(sample.column_names, key=lambda key: pc.count_distinct(sample[key]).as_py())
    column = sample[name].take(pc.sort_indices(sample[name]))
    edges = pc.unique(column.take(pa.array([len(column) * n // count for n in range(1, count)])))
    field, conditions = pc.field(name), []
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        terms = [~(field <= low)] if low is not None else []
        terms += [field <= high] if high is not None else []
        conditions.append(Where(terms[0] if len(terms) == 1 else terms[0] & terms[1], (name,)))
    return list(conditions)


def superseded(rows: pa.Table, target: Target) -> pa.Table:
    """The rows that a newer row of the same key replaces: their `file` and `row`.

    Args:
        rows: an index, of all rows of each key that it has.
        target: the keys, and what orders the rows of a key; no value there is oldest.

    Raises:
        TerminalError: nothing tells which of two rows of a key is newer.
    """
    keys = names(target.keys)
    counts = rows.select(keys).group_by(keys, use_threads=False).aggregate([([], "count_all")])
    several = counts.filter(pc.field("count_all") > 1).select(keys)
    if not several.num_rows:
        return rows.slice(0, 0).select([_FILE, _ROW])
    rivals = rows.join(several, keys, join_type="left semi")
    ordered = _ORDER in rivals.column_names
    sorting = [(name, "ascending", "at_end") for name in keys]
    if ordered:
        sorting.append((_ORDER, "descending", "at_end"))
    rivals = rivals.take(pc.sort_indices(rivals, sort_keys=sorting))
    rivals = rivals.combine_chunks()
    again = _same_as_before(rivals, keys)
    tie = pc.and_(again, _same_as_before(rivals, [_ORDER])) if ordered else again
    # A row that ties with the one before matters only if that one is its key's newest.
    first = pc.invert(again)
    tied = pc.and_(tie, pa.concat_arrays([pa.array([False]), first.slice(0, len(first) - 1)]))
    if count := pc.sum(tied).as_py():
        raise TerminalError(
            f"{count} keys have several rows, and nothing tells which of them is the newest",
            fix="Choose `keys` that identify a row, or an `incremental_column` that orders them",
            code="duplicate-key",
            table=target.object,
            column=", ".join(target.keys),
        )
    return rivals.filter(again).select([_FILE, _ROW])


def positions(rows: pa.Table, file: int) -> pa.Int64Array:
    """The numbers of the rows of a file that `rows` has, ascending."""
    return ascending(rows.filter(pc.field(_FILE) == file)[_ROW].combine_chunks())


def ascending(numbers: pa.Int64Array) -> pa.Int64Array:
    """The numbers, sorted."""
    return numbers.take(pc.sort_indices(numbers))


def without(batches: Iterable[pa.RecordBatch], drop: pa.Int64Array) -> Iterator[pa.RecordBatch]:
    """A file's rows, in their order, less those at the positions `drop` (ascending)."""
    start = done = 0
    for batch in batches:
        end, upto = start + batch.num_rows, done
        upto += pc.sum(pc.less(drop.slice(done, batch.num_rows), end)).as_py() or 0
        if upto > done:
            gone = drop.slice(done, upto - done)
            mask = pc.invert(pc.is_in(counting(start, batch.num_rows), value_set=gone))
            yield batch.filter(mask)
        else:
            yield batch
        start, done = end, upto


def _same_as_before(rows: pa.Table, names: Sequence[str]) -> pa.BooleanArray:
    """Whether each row has the values of the row before, null being alike null."""
    same = None
    for name in names:
        column = rows[name].combine_chunks()
        now, before = column.slice(1), column.slice(0, len(column) - 1)
        both = pc.and_(now.is_null(), before.is_null())
        alike = pc.or_(pc.fill_null(pc.equal(now, before), False), both)
        same = alike if same is None else pc.and_(same, alike)
    return pa.concat_arrays([pa.array([False]), same])

"""What is read of the files of a table.

Conditions on columns that have one value in all of a file leave whole files out, unopened; the
others are met row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.files.folder import File, named
from copy_core.connectors.files.format import Wanted, check_columns
from copy_core.connectors.files.newest import FILE_MODIFIED, within
from copy_core.connectors.files.patterns import matcher
from copy_core.errors import TerminalError
from copy_core.watermark import EVERYTHING

if TYPE_CHECKING:
    from copy_core.connectors.files.shape import Shape
    from copy_core.model import Slice


class Scan:
    """What to read of each file of a table.

    Args:
        shape: the table's columns.
        part: which columns and rows.
        batch_rows: rows held at a time, at most.

    Attributes:
        wanted: what to ask the format for; its `where` may be left to `rows`.

    Raises:
        ConfigError: a column that the table has not, or a filter's value that does not fit.
    """

    def __init__(self, shape: Shape, part: Slice, batch_rows: int) -> None:
        self._shape = shape
        every = pa.schema([*shape.schema, *shape.hidden])
        constant = set(shape.constant.names)
        self._meets = matcher(part.include, part.exclude)
        timed = part.window.column == FILE_MODIFIED and FILE_MODIFIED in constant
        self._within = within(part.window) if timed else None
        if timed:
            part = part.model_copy(update={"window": EVERYTHING})
        tested = [condition.column for condition in part.filter]
        window = [] if part.window.column is None else [part.window.column]
        check_columns(every, [*part.columns, *tested, *window])
        terms = arrow_filter.terms(part, every)
        where = arrow_filter.joined(t for column, t in terms if column not in constant)
        self._test = arrow_filter.joined(t for column, t in terms if column in constant)
        self._out = pa.schema([every.field(name).remove_metadata() for name in part.columns])
        own = shape.own
        # Those that are copied, then those of conditions alone.
        needed = dict.fromkeys(
            name
            for name in [*part.columns, *(c for c, _ in terms if c not in constant)]
            if name in own.names
        )
        self.wanted = Wanted(own, list(needed), batch_rows, where, shape.partial)

    def keeps(self, file: File) -> bool:
        """Whether the file may hold rows that are wanted. One that still waits to be moved gets
        its time when it is: later than every window that ends before.
        """
        if self._within and (file.waiting or not self._within(file.modified)):
            return False
        steps = file.key.split("/")[named(self._shape.name, file.key) :]
        if not self._meets("/".join(steps)):
            return False
        if self._test is None:
            return True
        constants = self._shape.constants(file)
        row = pa.RecordBatch.from_pydict({name: [value] for name, value in constants.items()})
        return bool(row.filter(self._test).num_rows)

    def rows(self, batches: Iterator[pa.RecordBatch], file: File) -> Iterator[pa.RecordBatch]:
        """The rows of a file that are wanted, with the columns that are.

        Raises:
            TerminalError: rows say otherwise than the name of a folder (`partition-differs`).
        """
        constants = self._shape.constants(file) if self._shape.constant.names else {}
        chosen = [name for name in self._out.names if name in constants]
        for batch in batches:
            kept = batch if self.wanted.where is None else batch.filter(self.wanted.where)
            if not kept.num_rows:
                continue
            if not chosen:
                yield kept if kept.schema.names == self._out.names else kept.select(self._out.names)
                continue
            for name in chosen:
                if name in kept.schema.names:
                    _check_same(kept.column(name), constants[name], name, file)
            arrays = [
                pa.repeat(constants[name], kept.num_rows)
                if name in constants
                else kept.column(name)
                for name in self._out.names
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=self._out)


def _check_same(column: pa.Array, value: pa.Scalar[Any], name: str, file: File) -> None:
    """Raises TerminalError when rows have another value than their folder; none is no value."""
    present = column.drop_null()
    others = present.filter(pc.not_equal(present, value)) if value.is_valid else present
    if len(others):
        raise TerminalError(
            f"a row says {others[0]}, and its folder {value if value.is_valid else 'no value'}",
            fix="Correct the file, or leave the column out with `columns`",
            code="partition-differs",
            file=file.key,
            column=name,
        )

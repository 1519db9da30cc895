"""Reads a Delta table as it was at one version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.delta import marks
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.delta.protocol import check_readable
from copy_core.connectors.delta.rows import Span, Where
from copy_core.connectors.delta.scan import Position, Scan
from copy_core.connectors.delta_options import DeltaOptions, FabricLakehouseOptions
from copy_core.errors import ConfigError
from copy_core.model import Slice
from copy_core.watermark import Watermark

_BATCH = 65_536


class DeltaSource(Source):
    """Delta tables below a root; what is described, split and read is one pinned version."""

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, options: DeltaOptions | FabricLakehouseOptions) -> None:
        self._lake = lake_of(options)
        self._scans: dict[tuple[str, str], Scan] = {}

    def objects(self) -> list[str]:
        return self._lake.tables()

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        scan = self._scan(name, None)
        return TableInfo(
            object=name,
            schema=scan.schema,
            uncopyable=scan.uncopyable,
            rows=scan.rows,
            watermarks=arrow_filter.watermark_kinds(scan.schema),
            snapshot=str(scan.version),
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        with faults(table=info.object, column=column):
            return marks.newest(self._scan(info.object, info.snapshot), column, above)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        scan = self._scan(info.object, info.snapshot)
        where = Where(pc.field(column).is_null(), (column,))
        spans = map(Span, scan.holding(where))
        return sum(batch.num_rows for batch in scan.data.read(spans, [column], _BATCH, where))

    def predicate(self, part: Slice) -> str:
        terms = [arrow_filter.text(part)]
        if part.range:
            (file, row), (next_file, next_row) = part.range["from"], part.range["to"]
            terms.append(f"file {file} row {row} to before file {next_file} row {next_row}")
        return " and ".join(filter(None, terms))

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        scan = self._scan(info.object, info.snapshot)
        cuts = scan.cuts(_where(whole, scan.schema), parts)
        pinned = whole.model_copy(update={"snapshot": str(scan.version)})
        return [
            pinned.model_copy(update={"range": {"from": list(start), "to": list(end)}})
            for start, end in pairwise(cuts)
        ] or [pinned]

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        scan = self._scan(part.object, part.snapshot)
        if missing := [name for name in part.columns if name not in scan.schema.names]:
            raise ConfigError(
                "the source table has no such column",
                fix=near(missing[0], scan.schema.names),
                code="column-missing",
                table=part.object,
                column=missing[0],
            )
        where = _where(part, scan.schema)
        yield from scan.data.read(self._spans(part), part.columns, batch_rows, where)

    def count_files(self, part: Slice) -> int:
        return len({span.file.path for span in self._spans(part)})

    def _spans(self, part: Slice) -> Iterable[Span]:
        scan = self._scan(part.object, part.snapshot)
        files = scan.holding(_where(part, scan.schema))
        if not part.range:
            return map(Span, files)
        return scan.between(files, Position(*part.range["from"]), Position(*part.range["to"]))

    def _scan(self, name: str, snapshot: str | None) -> Scan:
        """The table at a version, or now; a version is opened once."""
        if snapshot is not None and (name, snapshot) in self._scans:
            return self._scans[name, snapshot]
        with faults(table=name):
            table = self._lake.open(name, None if snapshot is None else int(snapshot))
            if table is None:
                raise ConfigError(
                    "there is no such Delta table",
                    fix=near(name, self._lake.tables()),
                    code="table-missing",
                )
            check_readable(table, name)
            scan = Scan(self._lake, name, table)
        self._scans = {(name, str(scan.version)): scan}
        return scan


def _where(part: Slice, schema: pa.Schema) -> Where | None:
    expression = arrow_filter.expression(part, schema)
    if expression is None:
        return None
    columns = [condition.column for condition in part.filter]
    if part.window.column is not None:
        columns.append(part.window.column)
    return Where(expression, tuple(dict.fromkeys(columns)))

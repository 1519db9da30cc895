"""Reads a Delta table as it was at one version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from copy_core.connectors import arrow_filter
from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.delta import marks
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.delta.opening import check_current, hides, open_pinned, scan_versions
from copy_core.connectors.delta.rows import Span, Where
from copy_core.connectors.delta.scan import Position, Scan
from copy_core.connectors.delta.versions import COMMIT_VERSION, Pin
from copy_core.connectors.delta_options import DeltaOptions, FabricLakehouseOptions
from copy_core.errors import ConfigError, TerminalError
from copy_core.model import Slice
from copy_core.watermark import EVERYTHING, Watermark, Window

_BATCH = 65_536


class DeltaSource(Source):
    """Delta tables below a root; what is described, split and read is one pinned version."""

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, options: DeltaOptions | FabricLakehouseOptions) -> None:
        self._lake = lake_of(options)
        self._tables: dict[tuple[str, str], DeltaTable] = {}
        self._scans: dict[tuple[str, str | None, Window], Scan] = {}

    def objects(self) -> list[str]:
        return self._lake.tables()

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        scan = self._scan(Slice(object=name, columns=()))
        return TableInfo(
            object=name,
            schema=scan.schema,
            uncopyable=scan.uncopyable,
            rows=scan.rows,
            watermarks=arrow_filter.watermark_kinds(scan.readable),
            snapshot=str(scan.pin),
            hidden=scan.hidden,
        )

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        scan = self._described(info)
        with faults(table=info.object, column=column):
            if column in scan.hidden.names:
                return marks.version(scan.pin, above)
            return marks.newest(scan, column, above)

    def newest_hidden(self, name: str, column: str, above: Watermark | None) -> Watermark | None:
        """Without a look at the files that the table has."""
        table = self._table(name, None)
        if not hides(table, column):
            return self.newest(self.describe(name), column, above)
        with faults(table=name, column=column):
            return marks.version(Pin.of(table), above)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        scan = self._described(info)
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
        _check_patterns(whole)
        pinned = whole.model_copy(update={"snapshot": info.snapshot})
        scan = self._scan(pinned)
        cuts = scan.cuts(_where(pinned, scan.readable), parts)
        return [
            pinned.model_copy(update={"range": {"from": list(start), "to": list(end)}})
            for start, end in pairwise(cuts)
        ] or [pinned]

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """By the log, for a window of versions."""
        versions = info.hidden is not None and whole.window.column in info.hidden.names
        return self._scan(whole).rows if versions else None

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        scan = self._scan(part)
        if missing := [name for name in part.columns if name not in scan.readable.names]:
            raise ConfigError(
                "the source table has no such column",
                fix=near(missing[0], scan.readable.names),
                code="column-missing",
                table=part.object,
                column=missing[0],
            )
        where = _where(part, scan.readable)
        try:
            yield from scan.data.read(self._spans(part), part.columns, batch_rows, where)
        except TerminalError as e:
            if e.code == "file-missing":
                check_current(self._lake, part.object, e.where["file"])
            raise

    def count_files(self, part: Slice) -> int:
        return len({span.file.path for span in self._spans(part)})

    def _spans(self, part: Slice) -> Iterable[Span]:
        scan = self._scan(part)
        files = scan.holding(_where(part, scan.readable))
        if not part.range:
            return map(Span, files)
        return scan.between(files, Position(*part.range["from"]), Position(*part.range["to"]))

    def _described(self, info: TableInfo) -> Scan:
        return self._scan(Slice(object=info.object, columns=(), snapshot=info.snapshot))

    def _scan(self, part: Slice) -> Scan:
        """What there is to read of the table at a version, or now; it is opened once."""
        name, window = part.object, part.window
        # Windows of other columns are conditions on the rows of the version.
        changes = window if window.column == COMMIT_VERSION else EVERYTHING
        key = (name, part.snapshot, changes)
        if part.snapshot is None or key not in self._scans:
            table = self._table(name, part.snapshot)
            if hides(table, changes.column):
                scan = scan_versions(self._lake, name, table, changes, again=part.again)
            else:
                scan = Scan(self._lake, name, table)
            key = (name, str(scan.pin), changes)
            self._scans = {key: scan}
        return self._scans[key]

    def _table(self, name: str, snapshot: str | None) -> DeltaTable:
        """The table at a version, or now; a version is opened once."""
        if snapshot is None or (name, snapshot) not in self._tables:
            table = open_pinned(self._lake, name, Pin.parse(snapshot) if snapshot else None)
            snapshot = str(Pin.of(table))
            self._tables = {(name, snapshot): table}
        return self._tables[name, snapshot]


def _check_patterns(whole: Slice) -> None:
    """Refuses patterns of files: those of a table are its log's, not people's."""
    if whole.include or whole.exclude:
        raise ConfigError(
            "`include` and `exclude` choose files, and the source is a Delta table",
            fix="Leave them out, and choose rows by `filter`",
            code="setting-not-offered",
            table=whole.object,
        )


def _where(part: Slice, schema: pa.Schema) -> Where | None:
    expression = arrow_filter.expression(part, schema)
    if expression is None:
        return None
    columns = [condition.column for condition in part.filter]
    if part.window.column is not None:
        columns.append(part.window.column)
    return Where(expression, tuple(dict.fromkeys(columns)))

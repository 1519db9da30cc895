"""Reads folders of files as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.files import folder
from copy_core.connectors.files.folder import File
from copy_core.connectors.files.format import (
    Input,
    Wanted,
    check_columns,
    copyable_columns,
    format_of,
    guarded,
)
from copy_core.connectors.files.times import check_times
from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.schema import schema_from_json, schema_to_json
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from copy_core.connectors.options import LocalOptions
    from copy_core.model import Slice

_BATCH = 65_536
_NAMED = 5
# A part lists its files, and a row of a state holds half a million characters.
_PART_FILES = 4_000


class LocalSource(Source):
    """Reads the files below a folder of this machine.

    A table is a folder, a file or a pattern such as `orders/2024*.csv`. `split` pins its files by
    name, size and time of change, and the schema: a part reads these and no others, also when it
    is read again days later, and refuses a file that changed or went away meanwhile. Files that
    are not pinned are listed again where one went away before anything was made of it.
    """

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, options: LocalOptions) -> None:
        self._root = Path(options.root)
        self._format = format_of(options)

    def objects(self) -> list[str]:
        with guarded():
            if not self._root.is_dir():
                raise ConfigError(
                    f"{self._root} is a file, not a folder"
                    if self._root.exists()
                    else f"there is no folder {self._root}",
                    fix="Correct the connection's `root`",
                    code="root-missing",
                )
            return folder.folders(self._root, self._format.owns)

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        with guarded(table=name):
            return folder.settled(lambda: self._described(self._files(name), name))

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        return folder.settled(lambda: self._newest(info, column, above))

    def count_nulls(self, info: TableInfo, column: str) -> int:
        where = pc.field(column).is_null()
        return folder.settled(
            lambda: sum(int(b.column(0).null_count) for b in self._column(info, column, where))
        )

    def predicate(self, part: Slice) -> str:
        terms = [arrow_filter.text(part)]
        if part.range:
            names = [File(*file).name for file in part.range["files"]]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            terms.insert(0, f"file in ({', '.join(names[:_NAMED])}{more})")
        return " and ".join(term for term in terms if term)

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        """Cuts into groups of neighbouring files of about the same size; into more than `parts`
        where a part's files would be too many for a row of a state.
        """
        with guarded(table=info.object):
            files = self._files(info.object)
        shape = {"schema": schema_to_json(info.schema), "partial": bool(info.uncopyable)}
        return [
            whole.model_copy(update={"range": {"files": list(map(list, group)), **shape}})
            for group in _groups(files, parts)
        ]

    def count_files(self, part: Slice) -> int:
        return len(part.range["files"] if part.range else self._files(part.object))

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        with guarded(table=part.object):
            if part.range is None:
                first, rest = folder.settled(lambda: self._begun(part, batch_rows))
                yield from first
                yield from rest
            else:
                files = [File(*file) for file in part.range["files"]]
                schema = schema_from_json(part.range["schema"])
                wanted = _wanted(part, schema, batch_rows, part.range.get("partial", False))
                yield from self._rows(files, wanted, part)

    def _described(self, files: Sequence[File], name: str) -> TableInfo:
        found = [(f.name, self._format.schema(self._input(f))) for f in files]
        schemas, uncopyable = copyable_columns(found)
        schema = self._format.unify(schemas)
        if not schema.names and not uncopyable:
            raise ConfigError(
                "no file of the table has a row yet, so its columns are not known",
                fix="Copy it once it has rows",
                code="table-empty",
            )
        _check_partitions(name, files, schema)
        counts = [self._format.rows(self._input(f)) for f in files]
        known = [count for count in counts if count is not None]
        return TableInfo(
            object=name,
            schema=schema,
            uncopyable=uncopyable,
            rows=sum(known) if len(known) == len(files) else None,
            watermarks=arrow_filter.watermark_kinds(schema),
        )

    def _newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        kind = info.schema.field(column).type
        where = None
        # Text is always read whole: a format that changed would hide below the watermark.
        if above is not None and not pa.types.is_string(kind):
            where = pc.field(column) > exact_cast(pa.array([above.value]), kind)[0]
        best, shapes = None, set[str]()
        if above is not None and pa.types.is_string(kind):
            check_times(pa.array([above.value]), shapes, table=info.object, column=column)
        for batch in self._column(info, column, where):
            values = batch.column(0)
            if pa.types.is_string(kind):
                check_times(values, shapes, table=info.object, column=column)
            top = pc.max(values)
            if top.is_valid and (best is None or pc.greater(top, best).as_py()):
                best = top
        if best is None:
            return None
        return Watermark(kind=info.watermarks[column], value=best.cast(pa.string()).as_py())

    def _begun(
        self, part: Slice, batch_rows: int
    ) -> tuple[list[pa.RecordBatch], Iterator[pa.RecordBatch]]:
        """The first batch, if there is one, and the others, of the files as they are now."""
        files = self._files(part.object)
        info = self._described(files, part.object)
        wanted = _wanted(part, info.schema, batch_rows, bool(info.uncopyable))
        rest = self._rows(files, wanted, part)
        return list(islice(rest, 1)), rest

    def _rows(self, files: Sequence[File], wanted: Wanted, part: Slice) -> Iterator[pa.RecordBatch]:
        """The rows of `part` that these files hold."""
        columns, planned = list(part.columns), part.range is not None
        for file in files:
            self._check_unchanged(file, planned)
            for kept in self._kept(file, wanted):
                if kept.num_rows:
                    yield kept if wanted.columns == columns else kept.select(columns)
            self._check_unchanged(file, planned)

    def _column(
        self, info: TableInfo, column: str, where: pc.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        """The values of one column, where a row meets `where`."""
        wanted = Wanted(info.schema, [column], _BATCH, where, partial=bool(info.uncopyable))
        with guarded(table=info.object):
            for file in self._files(info.object):
                yield from self._kept(file, wanted)

    def _kept(self, file: File, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        for batch in self._format.batches(self._input(file), wanted):
            yield batch if wanted.where is None else batch.filter(wanted.where)

    def _files(self, name: str) -> list[File]:
        if files := folder.files(self._root, name, self._format.owns):
            return files
        raise ConfigError(
            f"there is no {self._format.extension.lstrip('.')} file",
            fix=near(name, self.objects()),
            code="table-missing",
            table=name,
        )

    def _input(self, file: File) -> Input:
        return Input(file.name, lambda: folder.opened(self._root, file))

    def _check_unchanged(self, file: File, planned: bool) -> None:
        try:
            facts = folder.found(self._root, file, Path.stat)
        except FileNotFoundError:
            raise _changed("went away", file, planned) from None
        if (facts.st_size, facts.st_mtime_ns) != (file.size, file.mtime):
            raise _changed("changed", file, planned)


def _wanted(part: Slice, schema: pa.Schema, batch_rows: int, partial: bool) -> Wanted:
    """What to read for a part: the columns that are copied, then those of conditions alone."""
    tested = [condition.column for condition in part.filter]
    window = [] if part.window.column is None else [part.window.column]
    needed = list(dict.fromkeys([*part.columns, *tested, *window]))
    check_columns(schema, needed)
    where = arrow_filter.expression(part, schema)
    return Wanted(schema, needed, batch_rows, where, partial)


def _groups(files: Sequence[File], parts: int) -> list[list[File]]:
    """The files in `parts` runs, each about an equal share of the bytes."""
    total = sum(file.size for file in files) or 1
    groups: dict[int, list[File]] = {}
    before = 0
    for file in files:
        middle = before + file.size // 2
        groups.setdefault(min(parts - 1, middle * parts // total), []).append(file)
        before += file.size
    return [some for group in groups.values() for some in _short(group)]


def _short(group: Sequence[File]) -> Iterator[list[File]]:
    """The group in as few runs as may be, none of more files than a part may have."""
    runs = -(-len(group) // _PART_FILES)
    for n in range(runs):
        yield list(group[n * len(group) // runs : (n + 1) * len(group) // runs])


def _check_partitions(name: str, files: Sequence[File], schema: pa.Schema) -> None:
    """Raises ConfigError when a folder such as `year=2024` holds a value that no file holds."""
    asked = PurePosixPath(name).parts
    for file in files:
        for part in [p for p in PurePosixPath(file.name).parts[:-1] if p not in asked]:
            column, equals, _ = part.partition("=")
            if equals and column.isidentifier() and column not in schema.names:
                raise ConfigError(
                    "the column's values are in the names of folders, which are not read",
                    fix="Write the column into the files, or name one such folder as the table",
                    code="partition-folder",
                    column=column,
                    file=file.name,
                )


def _changed(how: str, file: File, planned: bool) -> CopyJobError:
    if not planned:
        return TransientError(f"the file {how} just now", code="file-moved", file=file.name)
    return TerminalError(
        f"the file {how} after the copy was planned",
        fix="Run again: the next run plans the copy anew",
        code="source-changed",
        file=file.name,
    )

"""Reads folders of files as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors import arrow_filter
from copy_core.connectors.base import Source, SourceCapabilities, TableInfo, near
from copy_core.connectors.files import folder
from copy_core.connectors.files.folder import File
from copy_core.connectors.files.format import Input, copyable_columns, format_of, guarded
from copy_core.connectors.files.newest import FILE_MODIFIED, newest
from copy_core.connectors.files.patterns import fixed
from copy_core.connectors.files.pins import pins_of_parts
from copy_core.connectors.files.rejects import Rejecting, Rejects, ignore
from copy_core.connectors.files.scan import Scan
from copy_core.connectors.files.shape import Shape, with_folders
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.times import check_times
from copy_core.connectors.files.view import MOVED
from copy_core.errors import ConfigError, TerminalError, TransientError
from copy_core.job import Condition
from copy_core.model import Slice
from copy_core.watermark import Watermark

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions
    from copy_core.connectors.files.store import Store
    from copy_core.job import Operator
    from copy_core.watermark import Kind

_BATCH = 65_536
_NAMED = 5
# Looking into a file is a few round trips to a store, and little work.
_LOOKS = 8
# For a name that is not there: as many objects are looked at for names that are like it.
_NEAR = 10_000
Found = TypeVar("Found")


class FileSource(Source):
    """Reads the files below a store's root.

    A table is a folder, a file or a pattern such as `orders/2024*.csv`. `split` pins its files by
    name and etag, and the schema: a part reads these and no others, also when it is read again
    days later, and refuses a file that changed or went away meanwhile. Files that are not pinned
    are listed again where one went away before anything was made of it.
    """

    capabilities = SourceCapabilities(incremental=True, splits=True)

    def __init__(self, store: Store, options: FileOptions) -> None:
        self._store = store
        self._types = options.types
        self._kind = options.format
        self._format = format_of(options)

    def objects(self) -> list[str]:
        with guarded():
            return folder.folders(self._store, self._format.owns)

    def describe(self, name: str, query: str = "") -> TableInfo:
        del query
        with guarded(table=name):
            return folder.settled(lambda: self._described(self._files(name), name))

    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        shape = Shape.described(info)
        with guarded(table=info.object):
            if column == FILE_MODIFIED and column in shape.hidden.names:
                return self._newest_file(info.object, above)
            return folder.settled(lambda: self._newest(shape, info, column, above))

    def newest_hidden(self, name: str, column: str, above: Watermark | None) -> Watermark | None:
        """By the listing alone."""
        del column
        with guarded(table=name):
            return self._newest_file(name, above)

    def count_nulls(self, info: TableInfo, column: str) -> int:
        shape = Shape.described(info)
        if column in shape.hidden.names:
            return 0
        scan = Scan(shape, _column(info, column, "is null"), _BATCH)

        def nulls(file: File) -> int:
            return sum(batch.num_rows for batch in self._rows(file, scan))

        with guarded(table=info.object):
            return folder.settled(lambda: sum(_each(nulls, self._kept(info.object, scan))))

    def predicate(self, part: Slice) -> str:
        patterns = {"file like": part.include, "file not like": part.exclude}
        terms = [f"{word} {' or '.join(some)}" for word, some in patterns.items() if some]
        if part.range:
            names = [File(*file).key for file in part.range["files"]]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            terms.insert(0, f"file in ({', '.join(names[:_NAMED])}{more})")
        terms.append(arrow_filter.text(part))
        return " and ".join(term for term in terms if term)

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """By the bytes of the files that a window holds; others are in all files, as it may be."""
        shape = Shape.described(info)
        if info.rows is None or whole.window.column not in shape.constant.names:
            return None
        with guarded(table=info.object):
            files, scan = self._files(info.object), Scan(shape, whole, _BATCH)
        size = sum(file.size for file in files if scan.keeps(file))
        return info.rows * size // (sum(file.size for file in files) or 1)

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        """Cuts into groups of neighbouring files of about the same size; into more than `parts`
        where a part's files would be too many for a row of a state.
        """
        shape = Shape.described(info)
        with guarded(table=info.object):
            files = self._kept(info.object, Scan(shape, whole, _BATCH))
        plan = shape.to_json()
        return [
            whole.model_copy(update={"range": {"files": pins, **plan}})
            for pins in pins_of_parts(files, parts)
        ]

    def count_files(self, part: Slice) -> int:
        return len(part.range["files"] if part.range else self._files(part.object))

    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        with guarded(table=part.object):
            if part.range is None:
                counted = self.rejected
                first, rest = folder.settled(lambda: self._begun(part, batch_rows, counted))
                yield from first
                yield from rest
                return
            scan = Scan(Shape.planned(part, part.range), part, batch_rows)
            for file in (File(*pin) for pin in part.range["files"]):
                try:
                    yield from self._copied(file, scan)
                except TransientError as e:
                    # Of a file that waited, the next attempt finds where it has been moved to.
                    if e.code not in MOVED or file.waiting:
                        raise
                    raise TerminalError(
                        "the file changed or went away after the copy was planned",
                        fix="Run again: the next run plans the copy anew",
                        code="source-changed",
                        file=file.key,
                    ) from e

    def close(self) -> None:
        self._store.close()

    def _described(self, files: Sequence[File], name: str) -> TableInfo:
        def look(file: File) -> tuple[pa.Schema, int | None]:
            here = self._input(file)
            return self._format.schema(here), self._format.rows(here)

        found = _each(look, files)
        schemas, uncopyable = copyable_columns(
            [(file.key, schema) for file, (schema, _) in zip(files, found, strict=True)]
        )
        own = self._format.unify(schemas)
        if not own.names and not uncopyable:
            raise ConfigError(
                "no file of the table has a row yet, so its columns are not known",
                fix="Copy it once it has rows",
                code="table-empty",
            )
        schema = with_folders(own, name, files, self._types)
        counts = [count for _, count in found if count is not None]
        info = TableInfo(
            object=name,
            schema=schema,
            uncopyable=uncopyable,
            rows=sum(counts) if len(counts) == len(files) else None,
            bytes=sum(file.size for file in files),
            watermarks=arrow_filter.watermark_kinds(schema),
        )
        hidden = Shape.described(info).hidden
        times: dict[str, Kind] = (
            {FILE_MODIFIED: "timestamp"} if FILE_MODIFIED in hidden.names else {}
        )
        return replace(info, hidden=hidden, watermarks={**info.watermarks, **times})

    def _newest_file(self, name: str, above: Watermark | None) -> Watermark | None:
        """The time of the newest file; of one that still waits to be moved it is not known yet."""
        files = [file for file in self._files(name) if not file.waiting]
        entries = [Entry(*file[:4]) for file in files]
        path = folder.located(name)
        within = entries and entries[0].key.startswith(f"{path}/")
        return newest(self._store, f"{path}/" if within else fixed(path), entries, above)

    def _newest(
        self, shape: Shape, info: TableInfo, column: str, above: Watermark | None
    ) -> Watermark | None:
        kind, shapes = info.schema.field(column).type, set[str]()
        text = pa.types.is_string(kind)
        # Text is always read whole: a format that changed would hide below the watermark.
        part = _column(info, column, "is not null")
        if above is not None and text:
            check_times(pa.array([above.value]), shapes, table=info.object, column=column)
        elif above is not None:
            part = _column(info, column, ">", above.value)
        scan = Scan(shape, part, _BATCH)

        def best(file: File) -> pa.Scalar[Any]:
            tops = []
            # The name of a folder counts if its files have a row at all.
            for batch in islice(self._rows(file, scan), 1 if column in shape.folders else None):
                if text:
                    check_times(batch.column(0), shapes, table=info.object, column=column)
                tops.append(pc.max(batch.column(0)))
            return pc.max(pa.array(tops, kind))

        top = pc.max(pa.array(_each(best, self._kept(info.object, scan)), kind))
        if not top.is_valid:
            return None
        return Watermark(kind=info.watermarks[column], value=top.cast(pa.string()).as_py())

    def _begun(
        self, part: Slice, batch_rows: int, rejected: int
    ) -> tuple[list[pa.RecordBatch], Iterator[pa.RecordBatch]]:
        """The first batch, if there is one, and the others, of the files as they are now.

        Args:
            part: what to read.
            batch_rows: rows held at a time, at most.
            rejected: how many lines were left out before; those of a look that broke off are read
                again.
        """
        self.rejected = rejected
        files = self._files(part.object)
        shape = Shape.described(self._described(files, part.object))
        scan = Scan(shape, part, batch_rows)
        rest = (batch for f in files if scan.keeps(f) for batch in self._copied(f, scan))
        return list(islice(rest, 1)), rest

    def _rows(self, file: File, scan: Scan, reject: Rejecting = ignore) -> Iterator[pa.RecordBatch]:
        """The rows of a file that are wanted; `reject` is told of lines that are none."""
        wanted = replace(scan.wanted, reject=reject)
        yield from scan.rows(self._format.batches(self._input(file), wanted), file)
        folder.unchanged(self._store, file)

    def _copied(self, file: File, scan: Scan) -> Iterator[pa.RecordBatch]:
        """Likewise; what is left out is written down."""
        with Rejects(self._store, file.key) as rejects:
            yield from self._rows(file, scan, rejects.add)
        self.rejected += rejects.rows

    def _kept(self, name: str, scan: Scan) -> list[File]:
        return [file for file in self._files(name) if scan.keeps(file)]

    def _files(self, name: str) -> list[File]:
        if files := folder.files(self._store, name, self._format.owns):
            return files
        raise ConfigError(
            f"there is no {self._kind} file",
            fix=near(name, folder.folders(self._store, self._format.owns, _NEAR)),
            code="table-missing",
            table=name,
        )

    def _input(self, file: File) -> Input:
        return Input(file.key, folder.opener(self._store, file))


def _each(look: Callable[[File], Found], files: Sequence[File]) -> list[Found]:
    """What a look at each file gives, some of them at the same time."""
    if len(files) < 2:
        return list(map(look, files))
    with ThreadPoolExecutor(min(_LOOKS, len(files)), thread_name_prefix="look") as pool:
        return list(pool.map(look, files))


def _column(info: TableInfo, column: str, op: Operator, value: str | None = None) -> Slice:
    """One column of the rows that meet a condition on it."""
    condition = Condition(column=column, op=op, value=value)
    return Slice(object=info.object, columns=(column,), filter=(condition,))

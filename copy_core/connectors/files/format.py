"""What a file format is to the connectors of files: a schema, batches out, batches in.

Formats know bytes and types. Where files lie, which of them count and when they become visible is
the business of the connectors, so local folders and object stores share these classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.base import near
from copy_core.connectors.files.packed import bare, unpacked
from copy_core.connectors.files.rejects import Rejecting, ignore
from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.failures import from_os
from copy_core.schema import copyable

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions


@dataclass(frozen=True)
class Input:
    """A file to read.

    Attributes:
        name: its path below the root, for errors.
        open: opens its bytes; whoever opens closes.
    """

    name: str
    open: Callable[[], pa.NativeFile]

    @contextmanager
    def stream(self) -> Iterator[pa.NativeFile]:
        """Its text, unpacked as the name's ending says."""
        with self.open() as raw, unpacked(raw, self.name) as text:
            yield text


@dataclass(frozen=True)
class Wanted:
    """What to read of the files of a table.

    Attributes:
        schema: the columns of the whole table that can be copied; one that a file lacks is null.
        columns: which of them to read, in this order.
        batch_rows: rows held at a time, at most.
        where: lets a format leave out rows that do not meet it; it need not.
        partial: the files have columns that `schema` lacks on purpose; else one that is met past
            the beginning, where the schema was inferred, is an error.
        reject: is told of each line that is left out because it is no row of the table, where the
            connection has such lines left out.
    """

    schema: pa.Schema
    columns: Sequence[str]
    batch_rows: int
    where: pc.Expression | None = None
    partial: bool = False
    reject: Rejecting = ignore


class Writer(ABC):
    """Writes rows into one file. `close` must be called before the file is whole."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows; they may stay in memory for a while, up to a fixed size."""

    @abstractmethod
    def close(self) -> None:
        """Writes what is left. The sink stays open: it is the caller's."""

    def abandon(self) -> None:  # noqa: B027 - most hold nothing back
        """Forgets what is not written yet; the file is of no use then."""


class Format(ABC):
    """One format.

    Attributes:
        extension: the ending of the files that it writes, packed as the connection says.
        endings: those of the files that it looks for in a folder, packed ones aside.
        typed: whether its files say the types of their columns.
    """

    extension: str
    endings: ClassVar[frozenset[str]]
    typed: ClassVar[bool] = False

    def owns(self, name: str) -> bool:
        """Whether a file of that name counts when a whole folder is read."""
        path = PurePosixPath(name.lower())
        return (path if self.typed else bare(path)).suffix in self.endings

    @abstractmethod
    def schema(self, file: Input) -> pa.Schema:
        """The file's own columns; text formats infer them from its beginning, as Arrow types
        that `unify` settles. A column that is null so far has the null type.

        Raises:
            TerminalError: a damaged file.
        """

    def rows(self, file: Input) -> int | None:
        """How many rows the file has; None when only reading it would tell."""
        del file
        return None

    @abstractmethod
    def unify(self, schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
        """The canonical schema of several files, each with its name.

        Raises:
            TerminalError: columns of one name whose types do not go together.
        """

    @abstractmethod
    def batches(self, file: Input, wanted: Wanted) -> Iterator[pa.RecordBatch]:
        """Streams the file's rows.

        Raises:
            TerminalError: a damaged file, or a value that does not fit its column.
        """

    @abstractmethod
    def writer(self, sink: pa.NativeFile, schema: pa.Schema) -> Writer:
        """A writer of rows of `schema` into `sink`."""


def format_of(options: FileOptions) -> Format:
    """The format that a connection says.

    Raises:
        ConfigError: the connection asks of it what it cannot do.
    """
    from copy_core.connectors.files.csv import Csv
    from copy_core.connectors.files.jsonl import JsonLines
    from copy_core.connectors.files.parquet import Parquet

    if options.format == "csv":
        return Csv(options)
    if options.format == "jsonl":
        return JsonLines(options)
    return Parquet(options.compression or "snappy")


def shaped(batch: pa.RecordBatch, schema: pa.Schema, columns: Sequence[str]) -> pa.RecordBatch:
    """The chosen columns in the types of `schema`, nulls for those that the batch lacks.

    Raises:
        TerminalError: a value that its column's type cannot hold; names the column.
    """
    fields = [schema.field(name) for name in columns]
    have = set(batch.schema.names)
    arrays = []
    for field in fields:
        if field.name not in have:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        array = batch.column(field.name)
        try:
            arrays.append(array if array.type == field.type else exact_cast(array, field.type))
        except pa.ArrowException as e:
            raise bad_value(str(e), field.name) from e
    if not fields:  # Arrow counts the rows of no columns as none.
        return batch.select([])
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def copyable_columns(
    schemas: Sequence[tuple[str, pa.Schema]],
) -> tuple[list[tuple[str, pa.Schema]], dict[str, str]]:
    """The schemas of several files, each with its name, without the columns whose type cannot be
    copied in any of them, and why each of these cannot be.
    """
    refused: dict[str, str] = {}
    for _, schema in schemas:
        refused |= copyable(schema)[1]
    kept = [
        (name, pa.schema([field for field in schema if field.name not in refused]))
        for name, schema in schemas
    ]
    return kept, refused


def check_columns(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Raises ConfigError when a column is not in the schema."""
    if missing := [name for name in columns if name not in schema.names]:
        raise ConfigError(
            "the files have no such column",
            fix=near(missing[0], schema.names),
            code="column-missing",
            column=missing[0],
        )


def check_unique(schema: pa.Schema, file: str) -> pa.Schema:
    """The schema; raises ConfigError when two of its columns have one name."""
    twice = {name for name in schema.names if schema.names.count(name) > 1}
    if twice:
        raise ConfigError(
            "the file has several columns of one name",
            fix="Give each column a name of its own",
            code="column-twice",
            file=file,
            column=", ".join(sorted(twice)),
        )
    return schema


def bad_value(text: str, column: str = "", **where: str) -> TerminalError:
    """The error for a value that does not fit."""
    return TerminalError(
        f"a value does not fit the column: {text}",
        fix="Correct the file, or give the column a type that holds every value",
        code="bad-value",
        column=column,
        **where,
    )


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Turns what goes wrong while `file` is read into our errors, which name the file."""
    try:
        yield
    except FileNotFoundError as e:
        # It was there when the folder was listed: another look tells what became of it.
        raise TransientError("the file went away just now", code="file-moved", file=file) from e
    except OSError as e:
        if e.errno is not None:
            raise from_os(e, file=file) from e
        raise _damaged(str(e), file) from e
    except (pa.ArrowException, UnicodeDecodeError) as e:
        raise _damaged(str(e), file) from e
    except (ConfigError, TerminalError) as e:
        raise e.at(file=file)  # noqa: B904 - it is the same error


@contextmanager
def guarded(table: str = "") -> Iterator[None]:
    """Turns what goes wrong with a table's folder into our errors, which name the table."""
    try:
        yield
    except OSError as e:
        raise from_os(e).at(table=table) from e
    except pa.ArrowException as e:
        raise bad_value(str(e), table=table) from e
    except CopyJobError as e:
        raise e.at(table=table)  # noqa: B904 - it is the same error


def _damaged(text: str, file: str) -> TerminalError:
    return TerminalError(
        f"the file cannot be read: {text.splitlines()[0] if text else 'no reason is given'}",
        fix="Put back a whole file of the connection's format, or move this one away",
        code="bad-file",
        file=file,
    )

"""Files that wait to be loaded: rows as Parquet, in folders of their own."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.files.layout import Layout as FileLayout
from copy_core.connectors.files.parquet import Parquet
from copy_core.connectors.files.staging import PartWriter
from copy_core.connectors.sql.mssql.encode import encode
from copy_core.connectors.sql.mssql.layout import place
from copy_core.errors import TerminalError
from copy_core.model import Staged

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Store
    from copy_core.connectors.sql.mssql.table import TableColumn
    from copy_core.connectors.warehouse_options import FabricWarehouseOptions
    from copy_core.model import Commit, Target

# COPY INTO passes over what begins with a dot or an underscore, unless it is named.
_AREA = "copyjob-staging"
_MIB = 1 << 20


class StagedFiles(NamedTuple):
    """The files of a commit.

    Attributes:
        keys: their paths below the root of the store.
        columns: the columns that they hold, as the job calls them, in their order.
        rows: how many rows they were reported to have.
        bytes: their size.
    """

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    bytes: int


def folder(options: FabricWarehouseOptions, job: str, table: str) -> str:
    """The folder of (job, table). Several Warehouses may share a container."""
    names = (options.server.casefold(), options.database, job, table)
    return f"{_AREA}/{hashlib.sha256(chr(0).join(names).encode()).hexdigest()[:32]}/"


def write(
    store: Store,
    options: FabricWarehouseOptions,
    target: Target,
    part: int,
    columns: Sequence[TableColumn],
    batches: Iterable[pa.RecordBatch],
    file_mb: int,
) -> Staged:
    """Writes a part, columns named `c0`, `c1` and so on: no name has to be understood on the way.

    Args:
        store: where to.
        options: the connection.
        target: what the rows are meant for.
        part: the part's number.
        columns: the columns that arrive, with the types that their values have to fit.
        batches: the rows.
        file_mb: how large a file may grow, in MiB.

    Raises:
        TerminalError: a value does not fit its column.
    """
    schema = pa.schema([(place(n), c.canonical) for n, c in enumerate(columns)])
    attempt = f"{target.sequence}/{part}-{secrets.token_hex(8)}/"
    into = folder(options, target.job, target.table) + attempt
    writer = PartWriter(store, into, FileLayout(Parquet(), schema, (), file_mb * _MIB))
    try:
        for batch in batches:
            if batch.num_rows:
                writer.write(_encoded(batch, columns, schema))
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    names = [c.name for c in columns]
    ref = {"folder": attempt, "files": writer.files, "columns": names}
    return Staged(part=part, rows=writer.rows, bytes=writer.bytes, ref=ref)


def _encoded(
    batch: pa.RecordBatch, columns: Sequence[TableColumn], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = encode(batch, columns).columns
    for n, column in enumerate(columns):
        if column.type.name == "uniqueidentifier":  # As text, one of them is written two ways.
            arrays[n] = pc.utf8_upper(pc.utf8_trim(arrays[n], "{}"))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def find(store: Store, options: FabricWarehouseOptions, commit: Commit) -> StagedFiles:
    """The files of a commit's parts.

    Raises:
        TerminalError: one of them is gone or is another, or the parts differ in their columns.
    """
    target = commit.target
    root = folder(options, target.job, target.table)
    keys: list[str] = []
    layouts = set()
    for part in commit.staged:
        attempt, count = str(part.ref.get("folder", "")), part.ref.get("files")
        layouts.add(tuple(part.ref.get("columns", ())))
        if not count:
            continue
        ours = attempt.startswith(f"{target.sequence}/{part.part}-")
        entries = list(store.list(root + attempt)) if ours else []
        if len(entries) != count or sum(entry.size for entry in entries) != part.bytes:
            raise TerminalError(
                f"staged files are gone, or are others now ({attempt or 'no folder'})",
                fix="Reset the table to copy its rows again",
                code="staged-missing",
            )
        keys += [entry.key for entry in entries]
    if len(layouts) > 1:
        raise changed()
    return StagedFiles(
        keys=tuple(keys),
        columns=next(iter(layouts), ()),
        rows=commit.rows,
        bytes=sum(part.bytes for part in commit.staged),
    )


def changed() -> TerminalError:
    """The error for rows that were staged for other columns than there are."""
    return TerminalError(
        "the columns of the destination changed while its rows were staged",
        fix="Run the job again",
        code="columns-changed",
    )


def clean(store: Store, options: FabricWarehouseOptions, target: Target) -> None:
    """Removes the files of (job, table) up to the target's sequence."""
    root = folder(options, target.job, target.table)
    keys = [entry.key for entry in store.list(root)]  # nothing is removed while it is listed
    store.remove(
        key for key in keys if int(key.removeprefix(root).partition("/")[0]) <= target.sequence
    )

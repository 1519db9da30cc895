"""The one commit that makes a sequence visible, in each of the ways a Delta table takes rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    write_deltalake,
)
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.parquet import Written
from copy_core.connectors.delta.partitions import as_logged
from copy_core.connectors.delta.rows import DataFile
from copy_core.connectors.delta.storage import Lake
from copy_core.job import WriteMode
from copy_core.model import Target


class How(TypedDict):
    """What delta-rs is told of a commit: what marks it, and what it does after it."""

    commit_properties: CommitProperties
    post_commithook_properties: PostCommitHookProperties | None


def create(
    lake: Lake,
    target: Target,
    schema: pa.Schema,
    properties: Mapping[str, str],
    added: Sequence[Written],
    how: How,
) -> None:
    """Makes the table and its first rows in one commit.

    Args:
        lake: where.
        target: the table's name, and its partition columns.
        schema: its columns.
        properties: its table properties.
        added: its files.
        how: marks with no retries: delta-rs would rebase even the making of a table onto another's.

    Raises:
        TransientError: somebody else made the table meanwhile.
    """
    with faults():
        create_table_with_add_actions(
            lake.uri(target.object),
            Schema.from_arrow(schema),
            [_add(file) for file in added],
            mode="error",
            partition_by=list(target.partition_by),
            configuration=properties,
            storage_options=lake.storage,
            **how,
        )


def add_columns(
    table: DeltaTable, fields: Sequence[pa.Field], hooks: PostCommitHookProperties | None
) -> None:
    """Adds nullable columns, in a commit of their own: readers see nulls in them."""
    with faults():
        table.alter.add_columns(
            Schema.from_arrow(pa.schema(fields)).fields, post_commithook_properties=hooks
        )


def files(
    table: DeltaTable,
    write: WriteMode,
    added: Sequence[Written],
    removed: Sequence[DataFile],
    how: How,
) -> None:
    """Adds files as they are, and removes others (`overwrite`: all there are).

    Args:
        table: the table, as the files to remove were chosen from it.
        write: the write mode.
        added: the files that are new.
        removed: those that go, for an upsert and for partitions that are replaced.
        how: marks; with no retries where something is removed.
    """
    _write(table, _actions(added, removed, changes=True), how, everything=write == "overwrite")


def rewritten(
    table: DeltaTable,
    added: Sequence[Written],
    removed: Sequence[DataFile],
    hooks: PostCommitHookProperties | None,
) -> None:
    """Puts files in the place of others that have the same rows: readers of changes see none.

    Raises:
        TransientError: the table has a newer version.
    """
    marks = CommitProperties(
        custom_metadata={"copyjob": {"compacted": len(removed)}}, max_commit_retries=0
    )
    how = How(commit_properties=marks, post_commithook_properties=hooks)
    _write(table, _actions(added, removed, changes=False), how)


def _actions(
    added: Sequence[Written], removed: Sequence[DataFile], *, changes: bool
) -> list[AddAction | RemoveAction]:
    now = time.time_ns() // 1_000_000
    return [
        *(_add(file, changes=changes) for file in added),
        *(
            RemoveAction(file.path, changes, now, file.size, as_logged(file.partition))
            for file in removed
        ),
    ]


def _write(
    table: DeltaTable,
    actions: list[AddAction | RemoveAction],
    how: How,
    *,
    everything: bool = False,
) -> None:
    """Commits actions, and the removal of all files that there are if `everything` goes."""
    mode, by = "overwrite" if everything else "append", table.metadata().partition_columns
    with faults():
        table.create_write_transaction(actions, mode, table.schema(), partition_by=by, **how)


def rows(table: DeltaTable, target: Target, batches: Iterable[pa.RecordBatch], how: How) -> None:
    """Hands the rows to delta-rs, for tables that it must look into each row for: constraints, a
    change data feed, partitions by values that are hard to tell.
    """
    schema = pa.schema(table.schema().to_arrow())
    reader = pa.RecordBatchReader.from_batches(schema, _filled(batches, schema))
    with faults():
        if target.write == "upsert":
            matched = " AND ".join(f"t.{_quoted(k)} = s.{_quoted(k)}" for k in target.keys)
            merge = table.merge(reader, matched, source_alias="s", target_alias="t", **how)
            merge.when_matched_update_all().when_not_matched_insert_all().execute()
        elif target.write == "overwrite_partitions":
            raise AssertionError  # `check_writable` refuses it for such tables.
        else:
            write_deltalake(table, reader, mode=target.write, **how)


def _filled(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows with every column of the table; null in those that do not arrive."""
    for batch in batches:
        arrays = [
            batch.column(field.name).cast(field.type)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.record_batch(arrays, schema=schema)


def _add(file: Written, *, changes: bool = True) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=file.partition,
        modification_time=time.time_ns() // 1_000_000,
        data_change=changes,
        stats=file.stats,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

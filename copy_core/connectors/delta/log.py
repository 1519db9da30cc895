"""The log of a table, commit by commit, and the files that it names, as `get_add_actions` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs as pafs

from copy_core.connectors.delta.changes import Added, Commit
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.scan import inside
from copy_core.connectors.delta.versions import COMMIT_VERSION, Span
from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError, TerminalError


def commits(files: pafs.FileSystem, name: str, span: Span) -> Iterator[Commit]:
    """The commits of some versions, each read from its own file: no checkpoint tells what changed.

    Args:
        files: begins at the table's folder.
        name: the table's name, for errors.
        span: the versions.

    Raises:
        ConfigError: a commit is no longer in the log (`log-expired`).
        TerminalError: a file of the log is damaged.
    """
    for version in range(span.low + 1, span.high + 1):
        path = f"_delta_log/{version:020}.json"
        with faults(table=name, file=path):
            try:
                with files.open_input_file(path) as stream:
                    text = stream.read()
            except FileNotFoundError as e:
                raise ConfigError(
                    f"version {version} is no longer in the log of the table, so nobody knows what"
                    f" came after version {span.low}",
                    fix="Load the table anew by copyjob reset; copy more often than its log is"
                    " shortened, or keep the log for longer by delta.logRetentionDuration",
                    code="log-expired",
                ) from e
        yield Commit(version, _actions(text, name, path))


def _actions(text: bytes, name: str, path: str) -> list[dict[str, Any]]:
    try:
        actions = [json.loads(line) for line in text.split(b"\n") if line.strip()]
    except ValueError as e:
        raise _damaged(name, path, str(e)) from e
    if not all(isinstance(action, dict) for action in actions):
        raise _damaged(name, path, "it holds something else than actions")
    return actions


def _damaged(name: str, path: str, why: str) -> TerminalError:
    return TerminalError(
        f"the log of the table is damaged: {why}",
        fix="Restore the file from a backup",
        code="delta-damaged",
        table=name,
        file=path,
    )


def check_there(files: pafs.FileSystem, name: str, added: Sequence[Added]) -> None:
    """Looks whether files are still there whose rows were moved since.

    Raises:
        ConfigError: one was vacuumed (`file-vacuumed`).
    """
    for file in added:
        path = inside(file.add["path"], name)
        with faults(table=name):
            found = files.get_file_info(path).type if file.moved else pafs.FileType.File
        if found != pafs.FileType.File:
            raise ConfigError(
                f"a file of version {file.version} was vacuumed after its rows had been moved to"
                " others, where they cannot be told from older ones",
                fix="Load the table anew by copyjob reset; copy more often than it is vacuumed",
                code="file-vacuumed",
                table=name,
                file=path,
            )


def as_adds(added: Sequence[Added], partitions: pa.Schema) -> pa.Table:
    """Files with their sizes, row counts and partitions, in columns named as `get_add_actions`
    names them, and `COMMIT_VERSION`. Their other statistics are left out.

    Args:
        added: the files.
        partitions: the table's partition columns.

    Raises:
        TerminalError: the value of a partition is none of its column.
    """
    adds = [file.add for file in added]
    columns: dict[str, pa.Array] = {
        "path": pa.array([add["path"] for add in adds], pa.string()),
        "size_bytes": pa.array([add["size"] for add in adds], pa.int64()),
        "num_records": pa.array([_rows(add) for add in adds], pa.int64()),
        COMMIT_VERSION: pa.array([file.version for file in added], pa.int64()),
    }
    for field in partitions:
        texts = [add.get("partitionValues", {}).get(field.name) or None for add in adds]
        columns[f"partition.{field.name}"] = _typed(pa.array(texts, pa.string()), field)
    return pa.table(columns)


def _rows(add: dict[str, Any]) -> int | None:
    """How many rows a file has; None where the log does not say."""
    stats = add.get("stats")
    try:
        rows = json.loads(stats).get("numRecords") if stats else None
    except (ValueError, AttributeError):
        return None
    return rows if isinstance(rows, int) else None


def _typed(texts: pa.StringArray, field: pa.Field) -> pa.Array:
    """Values of a partition column as the log writes them
    (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization).
    """
    kind = field.type
    try:
        if pa.types.is_timestamp(kind):
            # In UTC, with or without saying so.
            plain = pc.replace_substring(pc.utf8_rtrim(texts, "Z"), "T", " ")
            return plain.cast(pa.timestamp("us")).cast(pa.int64()).cast(kind)
        return exact_cast(texts, kind) if kind != pa.string() else texts
    except pa.ArrowException as e:
        raise TerminalError(
            f"the log has a value of a partition that is no {kind}: {e}",
            fix="Correct the values of the partition column, or copy the table in full",
            code="partition-value",
            column=field.name,
        ) from e

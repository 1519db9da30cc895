"""Which Delta tables can be read and written, and how."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from deltalake import DeltaTable

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.partitions import suits
from copy_core.errors import ConfigError
from copy_core.job import WriteMode

# docs: the table features of the Delta protocol. What is not named here may change what a data
# file means, so it is refused rather than misread.
_READ = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors", "columnMapping"}
_WRITE = _READ | {
    "appendOnly",
    "invariants",
    "checkConstraints",
    "changeDataFeed",
    "generatedColumns",
    "identityColumns",
    "domainMetadata",
}
_LAST_READER, _LAST_WRITER = 3, 7


def check_readable(table: DeltaTable, name: str) -> None:
    """Refuses a table whose files cannot simply be read.

    Raises:
        ConfigError: names the table feature.
    """
    protocol = table.protocol()
    odd = sorted({*(protocol.reader_features or ())} - _READ)
    if protocol.min_reader_version > _LAST_READER:
        odd.append(f"reader version {protocol.min_reader_version}")
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        odd.append("columnMapping")
    if "deletionVectors" in (protocol.reader_features or ()) and _has_deletions(table, name):
        odd.append("deletionVectors")
    if odd:
        raise _refused(name, "read", odd, "rewrite the table without it, by REORG or a copy of it")


def check_writable(table: DeltaTable, name: str, write: WriteMode) -> None:
    """Refuses a table that must not be written to, or not in this mode.

    Raises:
        ConfigError: names the table feature or property.
    """
    check_readable(table, name)
    protocol, settings = table.protocol(), table.metadata().configuration
    odd = sorted({*(protocol.writer_features or ())} - _WRITE)
    if protocol.min_writer_version > _LAST_WRITER:
        odd.append(f"writer version {protocol.min_writer_version}")
    marks = _column_marks(table)
    odd += [mark for mark in ("delta.generationExpression", "delta.identity") if mark in marks]
    # The ledger is the table's own transaction ids: a table that forgets them cannot keep it.
    if "delta.setTransactionRetentionDuration" in settings:
        odd.append("delta.setTransactionRetentionDuration")
    if write != "append" and settings.get("delta.appendOnly", "false").lower() == "true":
        odd.append("delta.appendOnly")
    if odd:
        raise _refused(name, f"written ({write})", odd, "turn it off")
    if write == "overwrite_partitions" and (odd := _left_to_delta_rs(table)):
        raise _refused(name, f"written ({write})", odd, "set `write: overwrite`")


def check_makeable(properties: Mapping[str, str], name: str, write: WriteMode) -> None:
    """Refuses to make a table that takes appends alone for a copy that replaces rows.

    Raises:
        ConfigError: names the property.
    """
    if write != "append" and properties.get("delta.appendOnly") == "true":
        fix = "leave that property out of the connection's `properties`"
        raise _refused(name, f"written ({write})", ["delta.appendOnly"], fix)


def takes_files(table: DeltaTable, write: WriteMode) -> bool:
    """Whether Parquet files may be committed as they are: no value of a row decides whether it is
    allowed, its partition is one that can be told, and no change data feed wants to know which
    rows an upsert changed.
    """
    feeds = table.metadata().configuration.get("delta.enableChangeDataFeed", "").lower() == "true"
    return not _left_to_delta_rs(table) and not (write == "upsert" and feeds)


def _left_to_delta_rs(table: DeltaTable) -> list[str]:
    """What of a table asks for a look into each row that is written."""
    settings = table.metadata().configuration
    odd = sorted(key for key in settings if key.startswith("delta.constraints."))
    odd += ["delta.invariants"] if "delta.invariants" in _column_marks(table) else []
    odd += ["partitions by floats, decimals or bytes"] if partition_columns(table) is None else []
    return odd


def partition_columns(table: DeltaTable) -> tuple[str, ...] | None:
    """The partition columns; None when values of one of them have to be left to delta-rs."""
    schema = pa.schema(table.schema().to_arrow())
    columns = tuple(table.metadata().partition_columns)
    return columns if all(suits(schema.field(column).type) for column in columns) else None


def _column_marks(table: DeltaTable) -> set[str]:
    """What the table's columns are marked with, `delta.identity.…` as one."""
    keys = {key for field in table.schema().fields for key in field.metadata}
    return {"delta.identity" if key.startswith("delta.identity.") else key for key in keys}


def _has_deletions(table: DeltaTable, name: str) -> bool:
    with faults(table=name):
        return any(
            batch.num_rows for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors())
        )


def _refused(name: str, verb: str, odd: list[str], fix: str) -> ConfigError:
    return ConfigError(
        f"the Delta table cannot be {verb}, it uses {', '.join(dict.fromkeys(odd))}",
        fix=f"Choose another table, or {fix}",
        code="table-feature",
        table=name,
    )

"""Partitions of a Delta table: rows that share the values of its partition columns. Pure.

Such values are text in the log, and are in no file. Where a file lies says nothing: "Actual
partition values for a file must be read from the transaction log"
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md), which also tells how they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.errors import ConfigError, TerminalError

Values = dict[str, str | None]
"""The values that all rows of a file share, as the log has them, by partition column."""

_YEARS = (1, 9999)


def suits(kind: pa.DataType) -> bool:
    """Whether values of a type can be told exactly in a log. Floats and bytes cannot; delta-rs
    1.6 misreads decimals below zero.
    """
    t = pa.types
    return not (t.is_floating(kind) or t.is_binary(kind) or t.is_decimal(kind))


def check(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Refuses partition columns that a new table cannot have.

    Raises:
        ConfigError: names the column.
    """
    for column in columns:
        if column not in schema.names:
            raise ConfigError(
                "the copy does not deliver a column of `partition_by`",
                fix="Copy the column, or leave it out of `partition_by`",
                code="column-missing",
                column=column,
            )
        if not suits(schema.field(column).type):
            raise ConfigError(
                f"a table cannot be partitioned by values of {schema.field(column).type}",
                fix="Choose another column for `partition_by`, such as a date",
                code="partition-type",
                column=column,
            )
    check_rest(schema, columns)


def check_rest(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Refuses rows of partition columns alone, for which a file would have no column.

    Raises:
        ConfigError: there is no other column.
    """
    if columns and set(schema.names) <= set(columns):
        raise ConfigError(
            "the copy delivers no column but those that the table is partitioned by",
            fix="Copy another column too, or leave one out of `partition_by`",
            code="partition-all",
        )


def check_same(asked: Sequence[str], there: Sequence[str]) -> None:
    """Refuses to write by other partition columns than the table has; none asked for is fine.

    Raises:
        ConfigError: names both.
    """
    if asked and list(asked) != list(there):
        has = f"by {', '.join(there)}" if there else "by no column"
        raise ConfigError(
            f"the table is partitioned {has}, and `partition_by` says {', '.join(asked)}",
            fix="Leave `partition_by` out, write it as the table has it, or copy into a new table",
            code="partition-mismatch",
        )


def check_told(columns: Sequence[str], arriving: Sequence[str]) -> None:
    """Refuses to replace partitions where rows do not tell theirs.

    Args:
        columns: the partition columns of the table.
        arriving: the columns that the copy delivers.

    Raises:
        ConfigError: there are no partitions, or a column of them does not arrive; names it.
    """
    if not columns:
        raise ConfigError(
            "the table has no partitions that could be replaced",
            fix="Set `write: overwrite`, or copy into a new table with `partition_by`",
            code="not-partitioned",
        )
    for column in columns:
        if column not in arriving:
            raise ConfigError(
                "the table is partitioned by the column, and the copy does not deliver it: which"
                " partitions to replace cannot be told",
                fix="Copy the column",
                code="column-missing",
                column=column,
            )


def apart(
    batch: pa.RecordBatch, columns: Sequence[str]
) -> Iterator[tuple[tuple[str | None, ...], pa.RecordBatch]]:
    """The rows of each partition, in the order that they were in, and its values.

    Args:
        batch: rows; a partition column that they lack is null in all of them.
        columns: the partition columns.

    Raises:
        TerminalError: a value that the log cannot tell; names the column.
    """
    if not columns:
        yield (), batch
        return
    codes, texts = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows), []
    for column in columns:
        if column not in batch.schema.names:
            texts.append(pa.nulls(batch.num_rows, pa.string()))
            continue
        texts.append(_texts(batch.column(column), column))
        coded = texts[-1].dictionary_encode(null_encoding="encode")
        codes = pc.add(pc.multiply(codes, len(coded.dictionary)), coded.indices.cast(pa.int64()))
    order = pc.sort_indices(codes)
    start = 0
    for stop in pc.run_end_encode(codes.take(order)).run_ends.to_pylist():
        rows = order.slice(start, stop - start)
        first = rows[0].as_py()
        values = tuple(text[first].as_py() for text in texts)
        yield values, batch if stop - start == batch.num_rows else batch.take(rows)
        start = stop


def scalars(values: Values, schema: pa.Schema) -> dict[str, pa.Scalar[Any]]:
    """The values of a file of ours in the types of their columns."""
    return {
        name: pa.array([text], pa.string()).cast(schema.field(name).type)[0]
        for name, text in values.items()
        if name in schema.names
    }


def as_logged(values: Mapping[str, pa.Scalar[Any]]) -> Values:
    """The values of a file as the log has them."""
    return {name: _texts(pa.array([value]), name)[0].as_py() for name, value in values.items()}


def promise(values: Mapping[str, pa.Scalar[Any]]) -> pc.Expression:
    """The condition that every row of a file with these values meets."""
    kept = pc.scalar(True)
    for name, value in values.items():
        column = pc.field(name)
        kept &= (column == value) if value.is_valid else column.is_null()
    return kept


def _texts(values: pa.Array[Any], column: str) -> pa.StringArray:
    """Values as the log writes them; null stays null."""
    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        years = pc.min_max(pc.year(values))
        low, high = years["min"].as_py(), years["max"].as_py()
        if low is not None and (low < _YEARS[0] or high > _YEARS[1]):
            raise _untold("a year beyond 1 to 9999", column)
    texts = values.cast(pa.string())
    if pa.types.is_timestamp(kind) and kind.tz:
        # Without the T and Z of ISO 8601 a reader may take it for its own time zone.
        texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    if pc.any(pc.equal(texts, "")).as_py():
        raise _untold("an empty text, which every reader takes for null", column)
    return texts


def _untold(what: str, column: str) -> TerminalError:
    return TerminalError(
        f"a partition column has {what}",
        fix="Put null or another value in its place at the source, or leave the column out of"
        " `partition_by`",
        code="partition-value",
        column=column,
    )

"""Arrow types and Delta's: what a column is in a Delta table."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from deltalake import DeltaTable

from copy_core.connectors.delta import partitions
from copy_core.connectors.delta.protocol import check_writable, partition_columns
from copy_core.errors import ConfigError
from copy_core.model import Target
from copy_core.schema import canonical_schema, reconcile, schema_from_json

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


class Fit(NamedTuple):
    """How rows go into a table.

    Attributes:
        schema: the columns to write.
        added: those that the table must get first.
        required: the table's columns that must have a value in each row.
        by: the partition columns to sort rows by; none where delta-rs is to do that.
    """

    schema: pa.Schema
    added: list[pa.Field]
    required: list[str]
    by: tuple[str, ...] = ()


def fit(target: Target, table: DeltaTable | None) -> Fit:
    """How rows of `target.columns` go into the table, or into a new one.

    Raises:
        ConfigError: they cannot; names the column or the table's feature.
    """
    incoming = schema_from_json(target.columns)
    if table is None:
        schema = storable(incoming, None)
        partitions.check(schema, target.partition_by)
        if target.write == "overwrite_partitions":
            partitions.check_told(target.partition_by, schema.names)
        return Fit(schema, [], _required(schema), target.partition_by)
    check_writable(table, target.object, target.write)
    partitions.check_same(target.partition_by, table.metadata().partition_columns)
    existing = table_schema(table, target.object)
    if target.drift == "ignore":
        incoming = pa.schema([field for field in incoming if field.name in existing.names])
    schema, added = reconcile(existing, storable(incoming, existing), target.drift)
    by = partition_columns(table) or ()
    partitions.check_rest(schema, by)
    if target.write == "overwrite_partitions":
        partitions.check_told(by, schema.names)
    return Fit(schema, added, _required(existing), by)


def _required(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not field.nullable]


def table_schema(table: DeltaTable, name: str) -> pa.Schema:
    """The table's columns as canonical types.

    Raises:
        ConfigError: a column has a type that cannot be copied; names it.
    """
    try:
        return canonical_schema(pa.schema(table.schema().to_arrow()))
    except ConfigError as e:
        raise e.at(table=name) from None


def storable(incoming: pa.Schema, existing: pa.Schema | None) -> pa.Schema:
    """The schema in which rows of `incoming` are kept in a Delta table.

    Unsigned integers become the next wider type with a sign, for Delta has none without. A time
    without zone becomes UTC, unless the table's column says otherwise: Fabric's SQL endpoint leaves
    columns of the type `timestamp_ntz` out without a word.

    Raises:
        ConfigError: Delta has no type for a column, or two names differ in case alone.
    """
    fields = [_storable(field, existing) for field in incoming]
    names: dict[str, str] = {n.lower(): n for n in (existing.names if existing else ())}
    for field in fields:
        if names.setdefault(field.name.lower(), field.name) != field.name:
            raise ConfigError(
                f"its name and '{names[field.name.lower()]}' differ only in case,"
                " which Delta does not tell apart",
                fix="Add `rename` to one of the columns",
                code="ambiguous-column",
                column=field.name,
            )
    return pa.schema(fields)


def _storable(field: pa.Field, existing: pa.Schema | None) -> pa.Field:
    t, kind = pa.types, field.type
    there = existing.field(field.name).type if existing and field.name in existing.names else None
    if t.is_time(kind):
        raise ConfigError(
            "Delta has no type for a time of day",
            fix="Add `cast: string` to the column",
            code="incompatible-type",
            column=field.name,
        )
    if t.is_unsigned_integer(kind):
        return field.with_type(_WIDER[kind])
    if t.is_timestamp(kind) and kind.tz is None and there != kind:
        return field.with_type(pa.timestamp("us", "UTC"))
    return field

"""The one table of types between all connectors, and the rules for a schema that drifts. Pure.

Every connector reads into and writes from these Arrow types only. A type that is not here is an
error that names the column, never a silent guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.job import Drift

_DECIMAL = re.compile(r"decimal\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_ALIASES = {
    "int": "int64",
    "integer": "int64",
    "bigint": "int64",
    "smallint": "int16",
    "tinyint": "int8",
    "float": "float64",
    "double": "float64",
    "real": "float32",
    "boolean": "bool",
    "text": "string",
    "varchar": "string",
    "datetime": "timestamp",
    "timestamp_ntz": "timestamp",
    "timestamptz": "timestamp_utc",
}


def _plain_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    names = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 string binary"
    return {name: getattr(pa, name)() for name in names.split()} | {
        "bool": pa.bool_(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamp_utc": pa.timestamp("us", "UTC"),
    }


def parse_type(name: str) -> pa.DataType:
    """The Arrow type of a type name as job files and states write it.

    Raises:
        ConfigError: no such type.
    """
    import pyarrow as pa

    text = name.strip().lower()
    plain = _plain_types()
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2] or 0)
        if 1 <= precision <= 38 and scale <= precision:
            return pa.decimal128(precision, scale)
    if found := plain.get(_ALIASES.get(text, text)):
        return found
    raise ConfigError(
        f"there is no type '{name}'",
        fix=f"Use one of {', '.join(plain)}, decimal(precision,scale)",
        code="unknown-type",
    )


def type_name(of: pa.DataType) -> str:
    """The name of a canonical Arrow type; `parse_type` gives the type back.

    Raises:
        ConfigError: the type is not canonical.
    """
    import pyarrow as pa

    if pa.types.is_decimal128(of) and of.scale >= 0:
        return f"decimal({of.precision},{of.scale})"
    for name, known in _plain_types().items():
        if known == of:
            return name
    raise ConfigError(
        f"the type {of} cannot be copied",
        fix="Leave the column out of `columns`, or turn it into text at the source",
        code="unknown-type",
    )


def canonical_type(of: pa.DataType) -> pa.DataType:
    """The type that stands for `of` between connectors; casting to it never loses a value
    (a timestamp that needs nanoseconds fails the cast instead).

    Raises:
        ConfigError: nothing stands for it.
    """
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(of):
        return canonical_type(of.value_type)
    if t.is_large_string(of) or t.is_string_view(of) or t.is_null(of):
        return pa.string()
    if t.is_large_binary(of) or t.is_binary_view(of) or t.is_fixed_size_binary(of):
        return pa.binary()
    if t.is_timestamp(of):
        return pa.timestamp("us", "UTC") if of.tz else pa.timestamp("us")
    if t.is_date64(of):
        return pa.date32()
    if t.is_time(of):
        return pa.time64("us")
    if t.is_float16(of):
        return pa.float32()
    if t.is_decimal32(of) or t.is_decimal64(of):
        of = pa.decimal128(of.precision, of.scale)
    type_name(of)
    return of


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with every type made canonical and without metadata.

    Raises:
        ConfigError: a column has a type that cannot be copied; the error names it.
    """
    import pyarrow as pa

    return pa.schema([_canonical_field(field) for field in schema])


def copyable(schema: pa.Schema) -> tuple[pa.Schema, dict[str, str]]:
    """The schema as `canonical_schema` gives it, without columns whose type cannot be copied, and
    why each of these cannot be.
    """
    import pyarrow as pa

    fields, refused = [], {}
    for field in schema:
        try:
            fields.append(_canonical_field(field))
        except ConfigError as e:
            refused[field.name] = e.what
    return pa.schema(fields), refused


def _canonical_field(field: pa.Field) -> pa.Field:
    import pyarrow as pa

    try:
        return pa.field(field.name, canonical_type(field.type), field.nullable)
    except ConfigError as e:
        raise e.at(column=field.name) from None


def schema_to_json(schema: pa.Schema) -> list[list[str]]:
    """Name, type name and "null" or "not null" of each column."""
    return [[f.name, type_name(f.type), "null" if f.nullable else "not null"] for f in schema]


def schema_from_json(columns: Iterable[Iterable[str]]) -> pa.Schema:
    """The inverse of `schema_to_json`."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, parse_type(kind), null == "null") for name, kind, null in columns]
    )


def widens(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether every value of `new` can be stored in a column of type `old`."""
    import pyarrow as pa

    t = pa.types
    if old == new:
        return True
    if t.is_integer(old) and t.is_integer(new):
        if t.is_signed_integer(old) == t.is_signed_integer(new):
            return bool(new.bit_width <= old.bit_width)
        return bool(t.is_signed_integer(old) and new.bit_width < old.bit_width)
    if t.is_floating(old) and t.is_floating(new):
        return bool(new.bit_width <= old.bit_width)
    if t.is_floating(old) and t.is_integer(new):
        return bool(new.bit_width < (53 if old.bit_width == 64 else 24))
    if t.is_decimal(old) and t.is_decimal(new):
        whole = old.precision - old.scale
        return bool(new.scale <= old.scale and new.precision - new.scale <= whole)
    if t.is_decimal(old) and t.is_integer(new):
        digits = len(str(2 ** (new.bit_width - int(t.is_signed_integer(new)))))
        return bool(digits <= old.precision - old.scale)
    return False


def reconcile(
    existing: pa.Schema, incoming: pa.Schema, drift: Drift
) -> tuple[pa.Schema, list[pa.Field]]:
    """How rows of `incoming` go into a table of `existing` under a drift policy.

    Column names are compared as they are. A column that only the table has is filled with nulls.

    Args:
        existing: the destination's schema now, canonical.
        incoming: the schema of the mapped rows, canonical.
        drift: what a column that the table does not have does.

    Returns:
        The schema to write the rows with (the table's types, incoming columns only, in the
        table's order, then new ones), and the columns to add to the table first.

    Raises:
        ConfigError: a new column under `fail`, a type that the table's column cannot hold, or a
            required column of the table that the rows lack.
    """
    import pyarrow as pa

    names = set(existing.names)
    new = [field.with_nullable(True) for field in incoming if field.name not in names]
    if new and drift == "fail":
        raise ConfigError(
            "the source has a column that the destination lacks",
            fix="Set `drift: evolve` to add it, `drift: ignore` to leave it out",
            code="schema-drift",
            column=", ".join(field.name for field in new),
        )
    fields = []
    for field in existing:
        if field.name not in incoming.names:
            if not field.nullable:
                raise ConfigError(
                    "the destination requires a column that the copy does not deliver",
                    fix="Copy the column, give it a default, or let it be null",
                    code="column-missing",
                    column=field.name,
                )
            continue
        arriving = incoming.field(field.name)
        if not widens(field.type, arriving.type):
            raise ConfigError(
                f"the destination's type {type_name(field.type)} cannot hold"
                f" {type_name(arriving.type)}",
                fix=f"Add `cast: {type_name(field.type)}` to the column, or change the destination",
                code="incompatible-type",
                column=field.name,
            )
        fields.append(pa.field(field.name, field.type, arriving.nullable))
    added = new if drift == "evolve" else []
    return pa.schema([*fields, *added]), added

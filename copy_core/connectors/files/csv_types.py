"""The types of the columns of CSV files, inferred from the beginning of each.

Digits that a number would lose (leading zeros, integers past 64 bits) make a column text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from copy_core.connectors.files.csv_dialect import Dialect
from copy_core.connectors.files.text import LONG, long_integers

_PADDED = r"^\s*[+-]?0[0-9xX]"
_TOO_LONG = r"^\s*[+-]?[0-9]{16,}\s*$"


def inferred(dialect: Dialect, text: bytes, types: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a file.

    Args:
        dialect: how to read it.
        text: the rows that it begins with.
        types: the types of columns that are known.
    """
    if not text:
        return pa.schema([])
    header = dialect.options.header
    options = arrow_csv.ReadOptions(
        block_size=len(text) + 1, use_threads=False, autogenerate_column_names=not header
    )
    try:
        with dialect.open(pa.BufferReader(text), options, lenient=dialect.lenient) as reader:
            fields = list(reader.schema)
    except pa.ArrowInvalid as e:
        # Empty lines alone: rows of one column without a value.
        if "cannot infer number of columns" not in str(e) or header:
            raise
        fields = [pa.field("c0", pa.null())]
    if not header:
        fields = [field.with_name(f"c{n}") for n, field in enumerate(fields)]
    # Text that is no UTF-8 is inferred as binary; as text, it is an error.
    fields = [pa.field(f.name, pa.string()) if pa.types.is_binary(f.type) else f for f in fields]
    fields = [field.with_type(types.get(field.name, field.type)) for field in fields]
    return _with_all_digits(dialect, text, types, pa.schema(fields))


def united(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """Infers as if the files were one: any mixture that is no number and no time is text."""
    merged: dict[str, pa.DataType] = {}
    for _, schema in schemas:
        for field in schema:
            merged[field.name] = _joined(merged.get(field.name, pa.null()), field.type)
    for _, column in long_integers(schemas):
        if pa.types.is_floating(merged[column]):
            merged[column] = pa.string()
    return pa.schema(merged)


def _with_all_digits(
    dialect: Dialect, text: bytes, types: Mapping[str, pa.DataType], schema: pa.Schema
) -> pa.Schema:
    """The schema with columns as text whose digits a number would not keep, and integers marked
    whose digits a float would not.
    """
    numbers = [
        field.name
        for field in schema
        if field.name not in types
        and (pa.types.is_int64(field.type) or pa.types.is_float64(field.type))
    ]
    if not numbers or len(set(schema.names)) < len(schema.names):
        return schema
    as_text = pa.schema([(name, pa.string()) for name in schema.names])
    names = None if dialect.options.header else schema.names
    stream, block = pa.BufferReader(text), len(text) + 1
    rows = dialect.rows(stream, as_text, numbers, block, names=names, lenient=dialect.lenient)
    first = next(rows, as_text.empty_table())
    for name in numbers:
        field, texts = schema.field(name), first.column(name)
        padded, too_long = (
            pc.any(pc.match_substring_regex(texts, lost)).as_py() for lost in (_PADDED, _TOO_LONG)
        )
        if padded or (too_long and pa.types.is_floating(field.type)):
            field = pa.field(name, pa.string())
        elif too_long:
            field = field.with_metadata(LONG)
        schema = schema.set(schema.get_field_index(name), field)
    return schema


def _joined(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """The type that inference would give to a file with the values of both."""
    if old == new or pa.types.is_null(new):
        return old
    if pa.types.is_null(old):
        return new
    pair = {str(old), str(new)}
    if pair <= {"int64", "double"}:
        return pa.float64()
    times = [kind for kind in (old, new) if pa.types.is_timestamp(kind)]
    if times and all(pa.types.is_timestamp(k) or pa.types.is_date(k) for k in (old, new)):
        zones = {kind.tz for kind in times}
        if len(zones) == 1 and (len(times) == 2 or zones == {None}):
            return pa.timestamp("us", zones.pop())
    if pa.types.is_time(old) and pa.types.is_time(new):
        return pa.time64("us")
    return pa.string()

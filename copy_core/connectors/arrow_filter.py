"""The rows of a slice as an Arrow expression, and as text: for every source that scans Arrow.

And the columns that may bound them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.job import Condition, Scalar
    from copy_core.model import Slice
    from copy_core.watermark import Kind, Watermark

_COMPARE = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


def watermark_kinds(schema: pa.Schema) -> dict[str, Kind]:
    """The kind of each column that may serve as incremental column; text may hold ISO time."""
    found = {field.name: _kind(field.type) for field in schema}
    return {name: kind for name, kind in found.items() if kind is not None}


def _kind(of: pa.DataType) -> Kind | None:
    if pa.types.is_integer(of):
        return "int"
    if pa.types.is_decimal(of):
        return "decimal"
    if pa.types.is_date(of):
        return "date"
    return "timestamp" if pa.types.is_timestamp(of) or pa.types.is_string(of) else None


def expression(part: Slice, schema: pa.Schema) -> pc.Expression | None:
    """The condition that a row of `part` meets; None when every row does.

    Args:
        part: the slice; its `range` is not looked at.
        schema: the table's schema, to type the values.

    Raises:
        ConfigError: a filter's value does not fit its column.
    """
    return joined(term for _, term in terms(part, schema))


def joined(terms: Iterable[pc.Expression]) -> pc.Expression | None:
    """The condition that all of these are met; None when there is none."""
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole


def terms(part: Slice, schema: pa.Schema) -> list[tuple[str, pc.Expression]]:
    """The conditions that a row of `part` meets, each with the one column that it is about; args
    and errors as those of `expression`.
    """
    found = [(c.column, _condition(c, schema)) for c in part.filter]
    window = part.window
    if window.column is not None:
        field, kind = pc.field(window.column), schema.field(window.column).type
        term: pc.Expression = pc.scalar(False)
        if (high := _bound(window.column, window.high, kind)) is not None:
            term = field <= high
            if (low := _bound(window.column, window.low, kind)) is not None:
                term &= field > low
        if window.nulls:
            term |= field.is_null()
        found.append((window.column, term))
    return found


def text(part: Slice) -> str:
    """The condition that a row of `part` meets, for people to read; "" when every row does."""
    terms = [_condition_text(c) for c in part.filter]
    window = part.window
    if window.column is not None:
        bounds = []
        if window.high is not None:
            if window.low is not None:
                bounds.append(f"{window.column} > {window.low.value}")
            bounds.append(f"{window.column} <= {window.high.value}")
        bound = " and ".join(bounds)
        if window.nulls:
            null = f"{window.column} is null"
            bound = f"({bound} or {null})" if bound else null
        terms.append(bound or "nothing")
    return " and ".join(terms)


def _condition(condition: Condition, schema: pa.Schema) -> pc.Expression:
    name, op, value = condition.column, condition.op, condition.value
    field, kind = pc.field(name), schema.field(name).type
    if op == "is null":
        return field.is_null()
    if op == "is not null":
        return field.is_valid()
    if op == "in":
        values = value if isinstance(value, list) else [value]
        return field.isin(pa.array([_typed(name, v, kind).as_py() for v in values], kind))
    return getattr(pc, _COMPARE[op])(field, _typed(name, value, kind))


def _condition_text(condition: Condition) -> str:
    if condition.op.startswith("is"):
        return f"{condition.column} {condition.op}"
    return f"{condition.column} {condition.op} {condition.value!r}"


def _bound(column: str, bound: Watermark | None, kind: pa.DataType) -> pa.Scalar[Any] | None:
    """A bound as a value of the column; None where a lookback or delay took it below all values of
    the column's type: then every row lies above it.
    """
    try:
        return None if bound is None else _typed(column, bound.value, kind)
    except ConfigError:
        return None


def _typed(column: str, value: Scalar | list[Scalar] | None, kind: pa.DataType) -> pa.Scalar[Any]:
    try:
        array = pa.array([value])
        if pa.types.is_floating(array.type) and pa.types.is_decimal(kind):
            array = pa.array([str(value)])
        return exact_cast(array, kind)[0]
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as e:
        raise ConfigError(
            f"'{value}' does not fit the column's type {kind}",
            fix="Write a value of that type",
            code="filter-value",
            column=column,
        ) from e

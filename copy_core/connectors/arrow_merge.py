"""What a write makes of the rows of a table, as Arrow tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.model import Target

Key = tuple[Any, ...]


def written(old: pa.Table, new: pa.Table, target: Target) -> pa.Table:
    """The table after `new` was written into `old`; a column that only one of them has is null in
    the rows of the other.

    Args:
        old: the table's rows so far.
        new: the rows to write, for an upsert one of each key (`newest_per_key`).
        target: the write mode and the keys.

    Raises:
        TerminalError: a required column would have a null.
    """
    added = [field for field in new.schema if field.name not in old.column_names]
    schema = pa.schema([*old.schema, *added])
    if target.write == "overwrite" or target.truncate:
        old = old.slice(0, 0)
    if target.write == "upsert":
        replaced = set(_keys(new, target))
        old = old.filter(pa.array([key not in replaced for key in _keys(old, target)], pa.bool_()))
    result = pa.concat_tables([_filled(old, schema), _filled(new, schema)])
    _check_required(result, target)
    return result


def newest_per_key(rows: pa.Table, target: Target) -> pa.Table:
    """The newest row of each key, by `target.order_by`; a row without a value there is oldest.

    Raises:
        TerminalError: a key is null, or nothing tells which of two rows of one key is newer.
    """
    ranks = [(False, None)] * rows.num_rows
    if target.order_by:
        ranks = [(rank is not None, rank) for rank in rows[target.order_by].to_pylist()]
    newest: dict[Key, int] = {}
    tied: set[Key] = set()
    for row, key in enumerate(_keys(rows, target)):
        if None in key:
            raise _no_value(target, target.keys[key.index(None)])
        known = newest.setdefault(key, row)
        if known == row:
            continue
        if ranks[row] == ranks[known]:
            tied.add(key)
        elif ranks[row] > ranks[known]:
            newest[key] = row
            tied.discard(key)
    if tied:
        raise _not_ordered(target, len(tied))
    return rows.take(pa.array(newest.values(), pa.int64()))


def _keys(rows: pa.Table, target: Target) -> Iterator[Key]:
    return zip(*(rows[key].to_pylist() for key in target.keys), strict=True)


def _filled(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _check_required(rows: pa.Table, target: Target) -> None:
    for field in rows.schema:
        if not field.nullable and rows[field.name].null_count:
            raise TerminalError(
                "a row has no value in a column that requires one",
                fix="Let the destination's column be null, or filter such rows out",
                code="null-value",
                table=target.object,
                column=field.name,
            )


def _no_value(target: Target, column: str) -> TerminalError:
    return TerminalError(
        "a row has no value in a key column",
        fix="Choose `keys` that every row has, or filter such rows out",
        code="null-key",
        table=target.object,
        column=column,
    )


def _not_ordered(target: Target, count: int) -> TerminalError:
    return TerminalError(
        f"{count} keys have several rows, and nothing tells which of them is the newest",
        fix="Choose `keys` that identify a row, or an `incremental_column` that orders them",
        code="duplicate-key",
        table=target.object,
        column=", ".join(target.keys),
    )

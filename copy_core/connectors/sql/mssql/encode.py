"""Columns of record batches -> what bulk copy takes for a column of SQL Server. Pure.

What a column cannot hold exactly is refused here, by name and before it is sent: the driver and
the server would round it, cut it, or put `?` in its place, without a word. NaN and infinity are
refused too, since SQL Server has neither. `encode_text` and `encode_time` have rules of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.sql.mssql.encode_text import check_text
from copy_core.connectors.sql.mssql.encode_time import check_date, check_time
from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.table import TableColumn
    from copy_core.connectors.sql.mssql.types import SqlType

# What money counts, ten-thousandths, in 64 and in 32 bits.
_MONEY_BITS = {"money": 64, "smallmoney": 32}


def wire_schema(columns: Sequence[TableColumn]) -> pa.Schema:
    """The schema of what `encode` makes for columns."""
    return pa.schema([(c.name, c.canonical) for c in columns])


def encode(batch: pa.RecordBatch, columns: Sequence[TableColumn]) -> pa.RecordBatch:
    """The batch as bulk copy takes it.

    Args:
        batch: rows of canonical types; columns beyond `columns` are left out.
        columns: the columns of the table that the rows are meant for.

    Raises:
        TerminalError: a value does not fit its column; the error names the column, and keeps the
            value to itself.
    """
    schema = wire_schema(columns)
    arrays = [_encode(batch.column(c.name), c, schema.field(c.name).type) for c in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _encode(array: pa.Array, column: TableColumn, wanted: pa.DataType) -> pa.Array:
    try:
        encoded = array if array.type == wanted else exact_cast(array, wanted)
        if encoded.null_count < len(encoded):
            _check(encoded, column.type)
        return encoded
    except pa.ArrowInvalid as e:
        raise TerminalError(
            f"a value is out of the range of {column.type.text}",
            fix="Correct it at the source, or give the column a wider type",
            code="value-out-of-range",
            column=column.name,
        ) from e
    except TerminalError as e:
        raise e.at(column=column.name) from None


def _check(array: pa.Array, of: SqlType) -> None:
    """Raises TerminalError or ArrowInvalid for values that a column of type `of` cannot hold."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        check_text(array, of)
    elif pa.types.is_floating(kind):
        if not pc.all(pc.is_finite(array)).as_py():
            raise TerminalError(
                "a value is NaN or infinite, and SQL Server has no such numbers",
                fix="Make it null or a number at the source",
                code="value-out-of-range",
            )
    elif of.name in _MONEY_BITS:
        span, most = pc.min_max(array), Decimal(2 ** (_MONEY_BITS[of.name] - 1)).scaleb(-4)
        if not -most <= span["min"].as_py() <= span["max"].as_py() < most:
            raise pa.ArrowInvalid("out of range")
    elif pa.types.is_date(kind):
        check_date(array)
    elif pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        check_time(array, of)

"""The types of a Warehouse, which has fewer than SQL Server. Pure.

Text is `varchar` in UTF-8, measured in bytes. There is no type with an offset, none of one unsigned
byte, and times have six digits.
https://learn.microsoft.com/fabric/data-warehouse/data-types
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.sql.mssql.layout import is_key
from copy_core.connectors.sql.mssql.table import TableColumn
from copy_core.connectors.sql.mssql.types import SqlType, declare
from copy_core.schema import schema_from_json, schema_to_json

if TYPE_CHECKING:
    from copy_core.model import Target

KEY_COLLATION = "Latin1_General_100_BIN2_UTF8"
"""The collation of text in the key of a created table: it tells upper and lower case apart, which
that of a Warehouse need not."""

_LONGEST = 8000
_UTF8 = 65001
# Lengths are in characters, and UTF-8 takes up to four bytes for one.
_BYTES_OF_CHARACTER = 4

_NARROWED = {
    pa.uint8(): pa.int16(),
    pa.timestamp("us", "UTC"): pa.timestamp("us"),
}


def narrowed(target: Target) -> Target:
    """The target with the types that a Warehouse has: what is cast to them keeps its values, and
    moments become those of UTC.
    """
    schema = schema_from_json(target.columns)
    fields = [f.with_type(_NARROWED.get(f.type, f.type)) for f in schema]
    columns = tuple((name, kind, null) for name, kind, null in schema_to_json(pa.schema(fields)))
    return target.model_copy(update={"columns": columns})


def created(field: pa.Field, target: Target) -> TableColumn:
    """The column that is created for a field of a narrowed target.

    Raises:
        ConfigError: the type is not canonical.
    """
    if pa.types.is_string(field.type):
        characters = target.lengths.get(field.name)
        key = is_key(field, target)
        room = _LONGEST + 1 if characters is None else max(characters, 1) * _BYTES_OF_CHARACTER
        # Rows are joined by their keys, and not by what may have megabytes.
        length = min(room, _LONGEST) if key else room if room <= _LONGEST else -1
        of = SqlType("varchar", length, codepage=_UTF8)
        return TableColumn(field.name, of, collation=KEY_COLLATION if key else "")
    return TableColumn(field.name, declare(field.type, target.lengths.get(field.name), key=False))

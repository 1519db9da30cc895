"""How Parquet files are laid out, for every connector that writes them. Measured, not guessed."""

from __future__ import annotations

import pyarrow as pa

GROUP_ROWS = 1 << 20
GROUP_BYTES = 8 << 20
"""A row group ends with the batch that reaches either. Writing one takes some four times its size
in memory, for each part that is copied at the same time."""


def dictionary_columns(schema: pa.Schema) -> list[str]:
    """The columns that are worth a dictionary. One of numbers costs as much time as the rest of
    the writing and saves no space that compression does not save as well.
    """
    t = pa.types
    return [f.name for f in schema if t.is_string(f.type) or t.is_binary(f.type)]

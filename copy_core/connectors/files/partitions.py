"""Sorts rows into Hive's folders, such as `year=2026/month=11`. Pure.

Names are escaped as Hive and Spark do it (`ExternalCatalogUtils.escapePathName` of Spark); a space
or dot at the end as well, which some stores and Windows would lose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from copy_core.connectors.files.hive import NULL
from copy_core.connectors.files.text import as_text
from copy_core.errors import ConfigError, TerminalError

_ESCAPED = re.compile(r"""[\x00-\x1f"#%'*/:=?\\\x7f{\[\]^]|[ .]\Z""")
_LONGEST = 255


def check_partitions(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Raises ConfigError where rows of a schema cannot be sorted by these columns."""
    for column in columns:
        if column not in schema.names:
            raise ConfigError(
                "the copy does not deliver a column of `partition_by`",
                fix="Copy the column, or leave it out of `partition_by`",
                code="column-missing",
                column=column,
            )
        kind = schema.field(column).type
        if pa.types.is_binary(kind) or pa.types.is_floating(kind):
            raise ConfigError(
                f"values of {kind} make no names of folders",
                fix="Choose another column for `partition_by`, such as a date",
                code="partition-type",
                column=column,
            )
    if len(columns) == len(schema.names) > 0:
        raise ConfigError(
            "`partition_by` names every column, and none is left for the files",
            fix="Leave one out",
            code="partition-all",
        )


def sorted_out(
    batch: pa.RecordBatch, columns: Sequence[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each folder, in the order that they were in, without the columns that its name
    tells; each with memory of its own.

    Raises:
        TerminalError: a value that no folder's name stands for.
    """
    steps = [_steps(name, as_text(batch.column(name))) for name in columns]
    paths = pc.binary_join_element_wise(*steps, "/").dictionary_encode()
    rows = batch.drop_columns(list(columns))
    names = paths.dictionary.to_pylist()
    if len(names) == 1:
        yield names[0], rows
        return
    order = pc.sort_indices(paths.indices)
    runs = pc.run_end_encode(paths.indices.take(order))
    start = 0
    for code, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield names[code], rows.take(order.slice(start, stop - start))
        start = stop


def empty_folder(columns: Iterable[str]) -> str:
    """The folder of rows without a value in these columns; "" for no column."""
    return "/".join(_step(column, None) for column in columns)


def _steps(column: str, texts: pa.Array) -> pa.Array:
    coded = texts.dictionary_encode(null_encoding="encode")
    steps = [_step(column, text) for text in coded.dictionary.to_pylist()]
    return pa.array(steps, pa.string()).take(coded.indices)


def _step(column: str, text: str | None) -> str:
    if text in ("", NULL):
        raise TerminalError(
            f"readers would take the text '{text}' for no value in the name of a folder",
            fix="Put null or another text in its place at the source, or leave the column out of"
            " `partition_by`",
            code="partition-value",
            column=column,
        )
    step = f"{_escaped(column)}={NULL if text is None else _escaped(text)}"
    if len(step.encode()) > _LONGEST:
        raise TerminalError(
            f"a value is too long for the name of a folder: {step[:80]}…",
            fix="Leave the column out of `partition_by`",
            code="partition-value",
            column=column,
        )
    return step


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", text)

"""Hive's folders, such as `year=2026/month=11`: columns whose values are names of folders. Pure.

A value is written as Hive and Spark write it: with `%3A` and the like for characters that a path
may not hold, and a name of its own for no value, which is
`hive.exec.default.partition.name` at
https://cwiki.apache.org/confluence/display/Hive/Configuration+Properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from urllib.parse import unquote

import pyarrow as pa

from copy_core.errors import ConfigError
from copy_core.schema import parse_type

NULL = "__HIVE_DEFAULT_PARTITION__"

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST = 2**63


def values(key: str, named: int) -> dict[str, str | None]:
    """The columns in the names of the folders that a file lies in, each with its value as text.

    Args:
        key: the file's path.
        named: how many steps of it are the table's own name, and no columns of it.

    Raises:
        ConfigError: two folders, one in the other, are of one column.
    """
    found: dict[str, str | None] = {}
    for step in key.split("/")[named:-1]:
        name, equals, value = step.partition("=")
        if not (name and equals):
            continue
        column = _decoded(name)
        if column in found:
            raise ConfigError(
                "two folders on the way to the file hold values of one column",
                fix="Rename the column in one of them, or name one such folder as the table",
                code="partition-twice",
                column=column,
                file=key,
            )
        found[column] = None if value == NULL else _decoded(value)
    return found


def columns(files: Iterable[tuple[str, int]], types: Mapping[str, str]) -> pa.Schema:
    """The columns in the names of all folders of a table, in the order of the folders.

    Integers without leading zeros are int64, days in ISO 8601 are dates, all else is text.

    Args:
        files: the path of each file, and how many steps of it are the table's own name.
        types: type names of columns, which count more than what the values look like.

    Raises:
        ConfigError: the files are not all in folders of the same columns.
    """
    seen: dict[str, set[str]] | None = None
    first = ""
    for key, named in files:
        found = values(key, named)
        if seen is None:
            seen, first = {column: set() for column in found}, key
        elif list(seen) != list(found):
            raise ConfigError(
                f"its folders hold values of {_listed(found)}, those of {first} of {_listed(seen)}",
                fix="Name folders or files as the table, by a pattern perhaps, that lie alike",
                code="partition-mixed",
                file=key,
            )
        for column, value in found.items():
            if value is not None:
                seen[column].add(value)
    return pa.schema(
        [
            pa.field(column, parse_type(types[column]) if column in types else _kind(texts))
            for column, texts in (seen or {}).items()
        ]
    )


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text  # Nobody encoded it: it just has percent signs.


def _kind(texts: set[str]) -> pa.DataType:
    if texts and all(map(_is_integer, texts)):
        return pa.int64()
    return pa.date32() if texts and all(map(_is_day, texts)) else pa.string()


def _is_integer(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -_LONGEST <= int(text) < _LONGEST


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names) or "no column"

"""The types of the columns of JSON lines, inferred from the beginning of every file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

from copy_core.connectors.files.format import bad_value
from copy_core.connectors.files.text import LONG, long_integers
from copy_core.errors import TerminalError

_LONG = re.compile(rb"[\s:]-?[0-9]{16}")
_KINDS = {str: "text", bool: "truth", int: "number", float: "number", list: "list", dict: "object"}


def inferred(text: bytes, types: Mapping[str, pa.DataType], *, lenient: bool) -> pa.Schema:
    """The columns of a file.

    Args:
        text: the lines that it begins with.
        types: the types of columns that are known.
        lenient: lines that are no row are passed over.
    """
    if not text.strip():
        return pa.schema([])
    try:
        fields = _seen(text)
    except pa.ArrowInvalid:
        if not lenient:
            raise
        names, good = _good(text, types)
        seen = {f.name: f for f in _seen(good)}
        fields = [seen.get(name) or pa.field(name, types[name]) for name in names]
    fields = [f.with_type(types.get(f.name, _plain(f.type))) for f in fields]
    t = pa.types
    guessed = [f for f in fields if f.name not in types]
    numbers = {f.name: f for f in guessed if t.is_floating(f.type) or t.is_integer(f.type)}
    if not numbers:
        return pa.schema(fields)
    for name, value, line in _long_integers(text, numbers):
        if t.is_floating(numbers[name].type):
            why = f"a float would not keep all digits of {value}"
            raise bad_value(why, name, line=str(line))
        numbers[name] = numbers[name].with_metadata(LONG)
    return pa.schema([numbers.get(f.name, f) for f in fields])


def united(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """The columns of several files, each with its name.

    Raises:
        TerminalError: columns of one name whose types do not go together.
    """
    merged: dict[str, pa.DataType] = {}
    for file, schema in schemas:
        for field in schema:
            old = merged.get(field.name, pa.null())
            merged[field.name] = _joined(old, field.type, file, field.name)
    for file, column in long_integers(schemas):
        if pa.types.is_floating(merged[column]):
            raise bad_value(
                "other files hold fractions, and a float would not keep all digits of an"
                " integer here",
                column,
                file=file,
            )
    return pa.schema(merged)


def _seen(text: bytes) -> list[pa.Field]:
    options = arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    with arrow_json.open_json(pa.BufferReader(text), options) as reader:
        return list(reader.schema)


def _good(text: bytes, types: Mapping[str, pa.DataType]) -> tuple[list[str], bytes]:
    """The keys of the lines that are objects, and these without the keys whose type is known. Of
    values of different kinds the first tells the kind, and the lines with others are left out.
    """
    names: dict[str, None] = {}
    kinds: dict[str, str] = {}
    good = []
    for line in text.split(b"\n"):
        try:
            values = json.loads(line)
        except ValueError:  # The text may end within a line too.
            continue
        if not isinstance(values, dict):
            continue
        unknown: dict[str, Any] = {name: v for name, v in values.items() if name not in types}
        found = {name: _KINDS[type(v)] for name, v in unknown.items() if v is not None}
        if all(kinds.get(name, kind) == kind for name, kind in found.items()):
            kinds |= found
            names |= dict.fromkeys(values)
            good.append(json.dumps(unknown).encode() + b"\n")
    return list(names), b"".join(good) or b"{}"


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _long_integers(text: bytes, keys: Collection[str]) -> Iterator[tuple[str, Decimal, int]]:
    """The integers that a float would not give back: each with its key and its line."""
    if not _LONG.search(text):
        return
    for number, line in enumerate(text.split(b"\n"), 1):
        if not _LONG.search(line):
            continue
        try:
            values = json.loads(line, parse_int=Decimal)
        except ValueError:  # The text may end within a line; others, whoever reads on will tell.
            continue
        for name in keys:
            value = values.get(name) if isinstance(values, dict) else None
            if isinstance(value, Decimal) and Decimal(repr(float(value))) != value:
                yield name, value, number


def _joined(old: pa.DataType, new: pa.DataType, file: str, column: str) -> pa.DataType:
    if old == new or pa.types.is_null(new):
        return old
    if pa.types.is_null(old):
        return new
    if {str(old), str(new)} == {"int64", "double"}:
        return pa.float64()
    raise TerminalError(
        f"the column is {new} here and {old} in other files",
        fix="Make the files agree, or copy those of one type by a pattern such as orders/2024*",
        code="incompatible-type",
        file=file,
        column=column,
    )

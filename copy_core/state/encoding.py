"""How a row is written: its value as JSON text, its key as a key that Azure Tables takes. Pure.

Both stores hold the same values, so that a job that works on a laptop works on Azure too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar, cast

from pydantic import ValidationError

from copy_core.errors import TerminalError
from copy_core.model import JsonDict, Record

if TYPE_CHECKING:
    from copy_core.state.base import Row, StateStore

_R = TypeVar("_R", bound=Record)

LONGEST_VALUE: Final = 500_000
"""Characters of JSON that a value may have. Azure Tables counts two bytes for each, and holds
1 MiB a row, https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model."""

LONGEST_KEY: Final = 512
"""Characters that a key of Azure Tables may have: 1 KiB at two bytes each (same source)."""

_HASHED = LONGEST_KEY - len("~") - 64
_CODES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def dump(value: Mapping[str, object], partition: str, key: str) -> str:
    """A value as JSON in ASCII: any text survives, and the text may be cut anywhere.

    Raises:
        TerminalError: it is too large for a row.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    if len(text) > LONGEST_VALUE:
        raise TerminalError(
            f"the state of {len(text):,} characters is too large for a row,"
            f" which holds {LONGEST_VALUE:,}",
            fix="Split the table into fewer parts, or the job into smaller jobs",
            code="state-too-large",
            partition=partition,
            key=key,
        )
    return text


def load(text: str, **where: str) -> JsonDict:
    """What `dump` wrote.

    Args:
        text: the JSON.
        where: where it was found, for errors.

    Raises:
        TerminalError: it is no JSON.
    """
    try:
        return cast("JsonDict", json.loads(text))
    except ValueError as e:
        raise damaged(str(e), **where) from e


def parse(model: type[_R], row: Row, store: StateStore, partition: str) -> _R:
    """The record that a row holds.

    Raises:
        TerminalError: it holds something else; names the row.
    """
    try:
        return model.model_validate(row.value)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        why = f"{field}: {first['msg']}" if field else first["msg"]
        raise damaged(why, partition=partition, key=row.key, state=store.place) from e


def damaged(why: str, **where: str) -> TerminalError:
    """The error for a row that nobody can read.

    Args:
        why: what is wrong with it.
        where: where it was found.
    """
    return TerminalError(
        f"a row of the state is damaged, or was written by another version of copyjob ({why})",
        fix="Run the version that wrote it, or restore the state from a backup; without one, move"
        " the state away and run again: the ledger at each destination gives back the watermarks",
        code="state-damaged",
        **where,
    )


def encode(key: str) -> str:
    """A key in the characters that Azure Tables takes, in the order of its ASCII characters.

    A character that is not allowed is written as the nearest one below it that is, and `~`, which
    sorts after whatever else may follow that one. Below `-` nothing suits (Azurite loses a comma
    at the start of a key), so there it is `!` and a letter. A key that gets too long is cut and
    ends in a hash: its order is then its own.
    """
    code = _encode(key) or "!"
    if len(code) < LONGEST_KEY:
        return code
    return f"{code[:_HASHED]}~{sha256(key.encode()).hexdigest()}"


def encoded_range(prefix: str) -> tuple[str, str]:
    """Bounds (from, below) that hold every encoded key that starts with `prefix`; where keys are
    cut they may hold others too.
    """
    code = _encode(prefix)
    if len(code) < _HASHED:
        return code, code + "~"
    return code[:_HASHED], code[:_HASHED] + "~~"


def _encode(key: str) -> str:
    return "".join(map(_character, key))


def _character(char: str) -> str:
    if char < "-":
        return "!" + _CODES[ord(char)]
    if char in "/?\\~":
        return chr(ord(char) - 1) + "~"
    if char > "~":
        return f"}}~~{ord(char):06X}"
    return char

"""Which files each part of a table reads, small enough for a state to keep. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copy_core.connectors.files.view import File

# A part lists its files, and a row of a state holds half a million characters.
_FILES = 4_000
_TEXT = 400_000

Pin = list[Any]
"""A file as a part's plan has it: the attributes of a `File`, in their order."""


def pins_of_parts(files: Sequence[File], parts: int) -> list[list[Pin]]:
    """The files in about `parts` runs of neighbours, each with about an equal share of the bytes;
    in more runs where one would be too long for a row of a state. At least one run, if only an
    empty one.
    """
    total = sum(file.size for file in files) or 1
    groups: dict[int, list[File]] = {}
    before = 0
    for file in files:
        middle = before + file.size // 2
        groups.setdefault(min(parts - 1, middle * parts // total), []).append(file)
        before += file.size
    return [run for group in groups.values() for run in _short(group)] or [[]]


def _short(group: Sequence[File]) -> Iterator[list[Pin]]:
    """The group in as few runs as may be, none of more than a part may have."""
    pins = [_pin(file) for file in group]
    text = sum(len(json.dumps(pin)) for pin in pins)
    runs = min(len(pins), max(-(-len(pins) // _FILES), -(-text // _TEXT)))
    for n in range(runs):
        yield pins[n * len(pins) // runs : (n + 1) * len(pins) // runs]


def _pin(file: File) -> Pin:
    return list(file if file.waiting else file[:-1])

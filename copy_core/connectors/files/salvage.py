"""Tells the lines that are no row of a table from those that are; the text formats share this.

A block of lines is parsed at once, which is as fast as ever. Only one that does not parse is taken
apart, by halves, down to the lines that are to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from copy_core.connectors.files.rejects import Reject, Rejecting
from copy_core.connectors.files.text import BLOCK, LONGEST_ROW, SAMPLE, too_long
from copy_core.errors import TerminalError

_FEW = 8
MARK = b"\xef\xbb\xbf"
"""What may be at the beginning of a text in UTF-8, and is no part of it."""


class Lines(Protocol):
    """How a format's text falls into rows."""

    def whole(self, text: bytes) -> int:
        """How many bytes of a text, which begins with a row, are rows that have ended."""

    def split(self, text: bytes) -> list[bytes]:
        """The rows of a text, each with its end; the last one may have none."""


def beginning(stream: pa.NativeFile, ended: Callable[[bytes], int]) -> bytes:
    """The rows at the beginning of a text that types are inferred from. Arrow's readers would read
    many blocks ahead while somebody looks at the first.

    Args:
        stream: the text.
        ended: how many bytes of a text are rows that have ended; 0 where they are too few yet.

    Raises:
        TerminalError: a row is longer than a block may be.
    """
    text: bytes = stream.read(SAMPLE)
    while more := stream.read(1):
        if end := ended(text):
            return text[:end]
        if len(text) > LONGEST_ROW:
            raise too_long()
        text += more + stream.read(len(text))
    return text


def blocks(stream: pa.NativeFile, lines: Lines) -> Iterator[bytes]:
    """A text in pieces of whole rows, without the mark at its beginning.

    Raises:
        TerminalError: a row is longer than a block may be.
    """
    text = stream.read(BLOCK).removeprefix(MARK)
    while True:
        # A row that is longer than all that was read so far: twice as much is.
        more = stream.read(max(BLOCK, len(text)))
        if not more:
            break
        text += more
        if end := lines.whole(text):
            yield text[:end]
            text = text[end:]
        elif len(text) > LONGEST_ROW:
            raise too_long()
    if text:
        yield text


def salvaged(
    texts: Iterable[bytes],
    number: int,
    lines: Lines,
    parse: Callable[[bytes], list[pa.RecordBatch]],
    why: Callable[[bytes, Exception], tuple[str, str]],
    reject: Rejecting,
) -> Iterator[pa.RecordBatch]:
    """The rows of a text without those that do not parse.

    Args:
        texts: the text in pieces of whole rows.
        number: the number of its first line.
        lines: how it falls into rows.
        parse: turns some of them into batches, or raises ArrowInvalid or TerminalError.
        why: the column and the reason for a row that `parse` refused, by its error.
        reject: is told of each.
    """

    def good(rows: Sequence[bytes], number: int) -> Iterator[pa.RecordBatch]:
        text = b"".join(rows)
        try:
            found = parse(text)
        except (pa.ArrowInvalid, TerminalError) as e:
            if len(rows) == 1:
                reject(Reject(number, text.rstrip(b"\r\n"), *why(text, e)))
                return
        else:
            yield from found
            return
        # Of a few, one that is bad is seldom alone: each is parsed for itself.
        step = 1 if len(rows) <= _FEW else -(-len(rows) // 2)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            yield from good(some, number)
            number += sum(map(ends, some))

    for text in texts:
        try:
            found = parse(text)
        except (pa.ArrowInvalid, TerminalError):
            yield from good(lines.split(text), number)
        else:
            yield from found
        number += ends(text)


def ends(text: bytes) -> int:
    """How many lines end in a text; those of old, too, that end in a carriage return alone."""
    return text.count(b"\n") or text.count(b"\r")

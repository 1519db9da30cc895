"""Text of any encoding as UTF-8, which is all that Arrow reads: a piece at a time."""

from __future__ import annotations

import codecs
import io
from typing import Any

import pyarrow as pa

from copy_core.errors import ConfigError, TerminalError

_PIECE = 1 << 16
# Arrow reads these itself, the mark that may be at the beginning too.
_UTF8 = {"utf-8", "utf-8-sig"}


def check_encoding(encoding: str) -> str:
    """The encoding's name as Python knows it.

    Raises:
        ConfigError: there is no such encoding of text.
    """
    try:
        name = codecs.lookup(encoding).name
        "x".encode(encoding)  # Refuses what is no encoding of text, such as base64.
        codecs.getincrementaldecoder(encoding)()
    except (LookupError, UnicodeError) as e:
        raise ConfigError(
            f"there is no text encoding '{encoding}'",
            fix="Set `encoding` to one that Python knows, such as utf-16 or windows-1252",
            code="encoding-unknown",
        ) from e
    return name


def is_utf8(encoding: str) -> bool:
    """Whether text of an encoding needs no change."""
    return check_encoding(encoding) in _UTF8


def as_utf8(stream: pa.NativeFile, encoding: str, file: str) -> pa.NativeFile:
    """A text in UTF-8. Whoever reads it gets TerminalError (`bad-encoding`), with file and line,
    where bytes stand for no text.

    Args:
        stream: the text.
        encoding: the encoding that it is in.
        file: its name, for errors.
    """
    if is_utf8(encoding):
        return stream
    return pa.PythonFile(_Decoded(stream, encoding, file), mode="r")


class _Decoded(io.RawIOBase):
    """A text in UTF-8 as a file of Python."""

    def __init__(self, stream: pa.NativeFile, encoding: str, file: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = memoryview(b"")
        self._bytes = 0
        self._lines = 1
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        pieces = []
        while size:
            if not self._ready:
                if self._ended:
                    break
                self._ready = memoryview(self._next())
                continue
            piece = self._ready if size < 0 else self._ready[:size]
            self._ready = self._ready[len(piece) :]
            size -= len(piece) if size > 0 else 0
            pieces.append(piece)
        return b"".join(pieces)

    def _next(self) -> bytes:
        data = self._stream.read(_PIECE)
        self._ended = not data
        before = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, self._ended)
            coded = text.encode()
        except UnicodeError as e:
            raise self._placed(data, before) from e
        self._bytes += len(data)
        self._lines += coded.count(b"\n")
        return coded

    def _placed(self, data: bytes, before: Any) -> TerminalError:
        """The error for a piece, with the line: the bytes again, one by one."""
        self._decoder.setstate(before)
        lines, number = self._lines, 0
        try:
            for number in range(len(data)):
                text = self._decoder.decode(data[number : number + 1])
                lines += text.encode().count(b"\n")
            number = len(data)
        except UnicodeError:
            pass
        return TerminalError(
            f"byte {self._bytes + number + 1} is no text in {self._encoding}",
            fix="Correct the file, or the connection's `encoding`",
            code="bad-encoding",
            file=self._file,
            line=str(lines),
        )

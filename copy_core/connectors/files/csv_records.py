"""Where the rows of a CSV text end, by the rules of Arrow's parser. Pure.

A quote counts at the beginning of a value alone. There it holds delimiters and line ends together
up to the next quote that is not doubled; what follows that is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# {0} is the delimiter. Nothing that has matched is tried in another way: a text would take for
# ever whose quote is never closed, and one that goes on might seem to end.
_VALUE = '(?>"(?>[^"]*(?:""[^"]*)*)"[^{0}\\r\\n]*|[^"{0}\\r\\n][^{0}\\r\\n]*+|)'
_ROW = f"{_VALUE}(?:{{0}}{_VALUE})*+(?:\\n|\\r\\n|\\r(?=[^\\n]))"


class Records:
    """Cuts CSV into rows.

    Args:
        delimiter: the character between two values.
    """

    def __init__(self, delimiter: str) -> None:
        row = _ROW.format(re.escape(delimiter))
        self._row = re.compile(row.encode())
        self._rows = re.compile(f"(?:{row})*+".encode())

    def whole(self, text: bytes) -> int:
        """How many bytes of a text, which begins with a row, are rows that have ended."""
        if b'"' not in text and (end := text.rfind(b"\n") + 1):
            return end
        found = self._rows.match(text)
        return found.end() if found else 0

    def split(self, text: bytes) -> list[bytes]:
        """The rows of a text, each with its end; the last one may have none."""
        return list(self._split(text))

    def head(self, text: bytes) -> bytes:
        """The first row that is not empty, with what is before it."""
        end = 0
        for row in self._split(text):
            end += len(row)
            if row.strip(b"\r\n"):
                break
        return text[:end]

    def _split(self, text: bytes) -> Iterator[bytes]:
        end = 0
        while match := self._row.match(text, end):
            yield match[0]
            end = match.end()
        if rest := text[end:]:
            yield rest

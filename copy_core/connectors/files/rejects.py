"""Writes down the lines of a file that were left out, so that somebody can correct them.

They go below `_rejects/`, which readers ignore, into a file named as the one that they are from:
whoever reads that again replaces it. Each is a line of JSON: file, line, column, reason, text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from copy_core.connectors.files.sink import Sink
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Store

FOLDER = "_rejects"
log = logging.getLogger("copyjob")


class Reject(NamedTuple):
    """A line that is left out.

    Attributes:
        line: its number in the file, from 1; the first one's, if a row has several.
        text: the line as it is, without its end.
        column: the column that it does not fit; "" where there is no telling.
        reason: why it is no row.
    """

    line: int
    text: bytes
    column: str
    reason: str


Rejecting = Callable[[Reject], None]
"""What is told of each line that is left out."""


def ignore(reject: Reject) -> None:
    """For a look at a file that copies nothing."""
    del reject


class Rejects:
    """What is left out of one file; a context within which that is read. Nothing is made where
    nothing is left out, nor kept when the reading breaks off.

    Args:
        store: where the file is.
        file: its key.

    Attributes:
        rows: how many lines were left out.
    """

    def __init__(self, store: Store, file: str) -> None:
        self._store = store
        self._file = file
        self._key = f"{FOLDER}/{file}.jsonl"
        self._sink: Sink | None = None
        self.rows = 0

    def add(self, reject: Reject) -> None:
        """Writes down a line.

        Raises:
            ConfigError: the connection may not write.
        """
        told = {
            "file": self._file,
            "line": reject.line,
            "column": reject.column,
            "reason": reject.reason,
            # Bytes that are no text are shown: most readers of JSON take nothing else for them.
            "text": reject.text.decode(errors="backslashreplace"),
        }
        with self._told():
            if self._sink is None:
                self._sink = Sink(self._store.upload(self._key))
            self._sink.add(memoryview(f"{json.dumps(told, ensure_ascii=False)}\n".encode()))
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sink is None:
            return
        if error is not None:
            self._sink.abandon()
            return
        with self._told():
            self._sink.complete()
        log.warning("lines of %s left out: %d, see %s", self._file, self.rows, self._key)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ConfigError as e:
            raise ConfigError(
                f"lines were left out and cannot be written down: {e.what}",
                fix=f"Let the source's connection write below {FOLDER}, or set `bad_rows: fail`",
                code="rejects-refused",
                file=self._key,
            ) from e

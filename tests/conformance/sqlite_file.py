"""SQLite files through Python's own sqlite3, in a process of its own.

Two copies of SQLite in one process break each other's POSIX locks on a file, and ADBC brings one
along (https://sqlite.org/howtocorrupt.html, section 2.2.1).
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

Statement = tuple[str, Sequence[Sequence[Any]]]
Rows = list[tuple[Any, ...]]


def execute(path: str, statements: Sequence[Statement]) -> None:
    """Runs statements, each once for each of its rows of values, in one transaction."""
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        for sql, rows in statements:
            connection.executemany(sql, rows)


def fetch(path: str, *queries: str) -> list[Rows]:
    """The rows of several queries, of one moment."""
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        connection.execute("BEGIN")
        return [connection.execute(query).fetchall() for query in queries]


@contextmanager
def process() -> Iterator[ProcessPoolExecutor]:
    """The other process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool

"""Connections that wait a moment for their next use: a login costs more than a small table.

Never for long, since a database without connections may go to sleep and cost nothing.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.sql.mssql.connect import pyodbc
from copy_core.connectors.sql.mssql.faults import FAILURES

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions

IDLE_SECONDS = 15.0
_MOST = 8

# One by one: not every server changes the level in a batch that began within a transaction.
_RESET = (
    "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET XACT_ABORT ON",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
_AWAKE = "SELECT 1"


class _Idle(NamedTuple):
    until: float
    connection: pyodbc.Connection


_idle: dict[str, list[_Idle]] = {}
_lock = threading.Lock()
_inherited: list[object] = []


def take(options: MssqlOptions) -> pyodbc.Connection | None:
    """A connection that was given back lately and still answers; None when there is none."""
    while True:
        with _lock:
            waiting = _idle.get(_key(options))
            found = waiting.pop() if waiting else None
        if found is None:
            return None
        if _runs(found.connection, _AWAKE):
            return found.connection
        _close(found.connection)


def give(options: MssqlOptions, connection: pyodbc.Connection) -> None:
    """Keeps a connection for a moment, its transaction rolled back; closes it where that fails,
    or where enough are kept.
    """
    if all(_runs(connection, statement) for statement in _RESET):
        with _lock:
            waiting = _idle.setdefault(_key(options), [])
            if len(waiting) < _MOST:
                waiting.append(_Idle(time.monotonic() + IDLE_SECONDS, connection))
                sweeper = threading.Timer(IDLE_SECONDS + 0.1, sweep)
                sweeper.daemon = True
                sweeper.start()
                return
    _close(connection)


def sweep(*, everything: bool = False) -> None:
    """Closes what has waited for too long, or `everything` that waits."""
    late: list[_Idle] = []
    with _lock:
        now = float("inf") if everything else time.monotonic()
        for key, waiting in list(_idle.items()):
            late += [each for each in waiting if each.until <= now]
            _idle[key] = [each for each in waiting if each.until > now]
            if not _idle[key]:
                del _idle[key]
    for each in late:
        _close(each.connection)


def _key(options: MssqlOptions) -> str:
    return options.model_dump_json()


def _runs(connection: pyodbc.Connection, statement: str) -> bool:
    try:
        connection.execute(statement).close()
    except FAILURES:
        return False
    return True


def _close(connection: pyodbc.Connection) -> None:
    with suppress(*FAILURES):  # The server has ended it already.
        connection.close()


def _forked() -> None:
    """The connections of a parent process are its own: even closing one here would end it there."""
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    _inherited.append(dict(_idle))
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

"""Runs a job's own statements in the transaction that publishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from copy_core.errors import CopyJobError, TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database


def run(db: Database, setting: str, given: Sequence[str], under_way: Callable[[], bool]) -> None:
    """Runs statements, one by one.

    Args:
        db: the connection, its transaction under way.
        setting: what the job file calls them.
        given: the statements.
        under_way: whether the transaction is the one still that it was before them.

    Raises:
        TerminalError: one of them ended the transaction.
    """
    for number, statement in enumerate(given, 1):
        try:
            db.run_strange(statement)
        except CopyJobError as e:
            raise e.at(statement=f"{setting} {number}") from None
    if given and not under_way():
        raise TerminalError(
            f"a statement of {setting} ended the transaction that publishes",
            fix=f"Leave COMMIT and ROLLBACK out of `{setting}`, and what calls them",
            code="transaction-ended",
        )

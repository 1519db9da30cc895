"""Messages to orchestrations: answers of tasks, and timers that are due later."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable

from tests.durable.host.events import Event
from tests.durable.host.store import Store


class Inbox:
    """The messages of all instances; each is there until the step that took it is committed.

    Attributes:
        arrived: is told the instance whenever there is a message for it.
        postponed: is called when there is one for later.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.arrived: Callable[[str], None] = lambda _: None
        self.postponed: Callable[[], None] = lambda: None

    def post(
        self, db: sqlite3.Connection, to: str, generation: int, message: Event, due: float = 0.0
    ) -> None:
        """Posts a message, as part of a transaction.

        Args:
            db: the transaction.
            to: the instance.
            generation: of the instance; one that has continued as new meanwhile never sees it.
            message: the event.
            due: when it may be seen, epoch seconds.
        """
        row = (to, generation, due, json.dumps(message))
        db.execute("INSERT INTO inbox(id, generation, due, event) VALUES(?, ?, ?, ?)", row)
        if due <= time.time():
            self.arrived(to)
        else:
            self.postponed()

    def waiting(self, to: str, most: int) -> list[sqlite3.Row]:
        """The oldest messages to an instance that may be seen now."""
        sql = "SELECT * FROM inbox WHERE id=? AND due<=? ORDER BY due, n LIMIT ?"
        return self._store.all(sql, to, time.time(), most)

    def due(self) -> list[str]:
        """The instances that have messages now."""
        rows = self._store.all("SELECT DISTINCT id FROM inbox WHERE due<=?", time.time())
        return [row["id"] for row in rows]

    def next_due(self) -> float | None:
        """When the next message may be seen, epoch seconds."""
        row = self._store.one("SELECT MIN(due) AS due FROM inbox WHERE due>?", time.time())
        due: float | None = row["due"] if row else None
        return due

    @staticmethod
    def remove(db: sqlite3.Connection, messages: list[sqlite3.Row]) -> None:
        """Takes messages away, as part of the transaction that has dealt with them."""
        db.executemany("DELETE FROM inbox WHERE n=?", [(each["n"],) for each in messages])

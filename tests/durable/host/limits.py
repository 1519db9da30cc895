"""What Azure would not carry well: large messages. And what must not happen at all.

The Azure Storage backend moves a message of more than 45 KB through a blob, which is slow, and
refuses a custom status of more than 16 KB. Here both are errors: what is told to `complain` is kept
for the report, and the tests ask for it.
"""

from __future__ import annotations

import logging

from tests.durable.host.store import Store

MESSAGE_BYTES = 60_000
STATUS_BYTES = 16_384

log = logging.getLogger("host")


class TooLargeError(Exception):
    """A message is larger than it may be."""


class Limits:
    """Checks messages, and remembers what was wrong.

    Args:
        store: where complaints are kept.
        message_bytes: how large an input or output may be.
    """

    def __init__(self, store: Store, message_bytes: int = MESSAGE_BYTES) -> None:
        self._store, self._most = store, message_bytes

    def message(self, what: str, text: str | None) -> None:
        """Checks an input or output.

        Args:
            what: what it is, for people.
            text: its JSON.

        Raises:
            TooLargeError: it is too large.
        """
        self._check(what, text, self._most)

    def status(self, what: str, text: str | None) -> None:
        """Checks a custom status, likewise."""
        self._check(f"the custom status of {what}", text, STATUS_BYTES)

    def complain(self, text: str) -> None:
        """Keeps what is wrong for the report."""
        log.error("%s", text)
        with self._store.transaction() as db:
            db.execute("INSERT INTO complaints(text) VALUES(?)", (text,))

    def _check(self, what: str, text: str | None, most: int) -> None:
        size = len((text or "").encode())
        if size > most:
            problem = f"{what} has {size} bytes, {most} are allowed: {(text or '')[:200]}…"
            self.complain(problem)
            raise TooLargeError(problem)

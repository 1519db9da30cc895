"""Stands before a store and lets pass what somebody may do; the rest it refuses as the store would.

It is a fault of `tests.store_proxy`: what it lets pass, the store does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from tests.store_proxy import Answer, Exchange, answering


class Need(NamedTuple):
    """A right that a request takes.

    Attributes:
        action: the right, as the service's own documents call it.
        resource: what it is needed on.
        prefix: what a listing asks for; None where nothing is listed.
    """

    action: str
    resource: str
    prefix: str | None = None


Needs = Callable[[str, str, Mapping[str, str], bytes], Iterable[Need]]
"""The rights that a request takes, by its method, path, headers and body."""


class Guard:
    """Knows what somebody may do.

    Args:
        needs: the rights that a request takes.
        code: what the service answers where one is missing.
        hidden: headers that an answer has only for who has a right besides, and that right.
        absent: the right to be told that there is nothing, of who may read what is there; None
            where that will do.

    Attributes:
        allows: whether somebody has a right.
        used: the actions that were used.
        refused: the rights that were missing.
    """

    def __init__(
        self,
        needs: Needs,
        code: str,
        hidden: Mapping[str, str],
        absent: Callable[[Need], Need] | None = None,
    ) -> None:
        self._needs, self._refuse, self._hidden = needs, answering(403, code), hidden
        self._absent = absent
        self._lock = Lock()
        self.allow(lambda _: True)

    def allow(self, allows: Callable[[Need], bool]) -> None:
        """From now on somebody may do this, and nothing was done yet."""
        self.allows = allows
        self.used: set[str] = set()
        self.refused: set[str] = set()

    def allow_actions(self, actions: Collection[str]) -> None:
        """From now on somebody may do these things, wherever it be."""
        self.allow(lambda need: need.action in actions)

    def __call__(self, exchange: Exchange) -> None:
        """Lets a request pass, or refuses it."""
        asked = exchange.method, exchange.path, exchange.headers, exchange.body
        needs = list(self._needs(*asked))
        missing = {need.action for need in needs if not self.allows(need)}
        with self._lock:
            self.used |= {need.action for need in needs} - missing
            self.refused |= missing
        if missing:
            self._refuse(exchange)
            return
        answer = exchange.forward()
        if answer.status == 404 and self._absent and not self.allows(self._absent(needs[0])):
            self._refuse(exchange)
        else:
            exchange.reply(self._shown(answer, needs))

    def _shown(self, answer: Answer, needs: list[Need]) -> Answer:
        """The answer as it is to who may not know all of it."""
        kept = {
            name: value
            for name, value in answer.headers.items()
            if (right := self._hidden.get(name.lower())) is None
            or all(self.allows(need._replace(action=right)) for need in needs)
        }
        return answer._replace(headers=kept)

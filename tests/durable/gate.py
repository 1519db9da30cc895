"""A gate before the lake, where what a run stages waits until a test has done its part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from tests import servers
from tests.store_proxy import Exchange, Proxy, Rule, proxy


class Gate:
    """Stands before Azurite's blobs, and is open at first.

    Args:
        azurite: the storage behind it.
        proxy: what leads there.

    Attributes:
        environment: settings of an app whose lake is behind the gate.
    """

    def __init__(self, azurite: servers.Azurite, proxy: Proxy) -> None:
        self._proxy, self._opened = proxy, Event()
        self.environment = {azurite.BLOB_URL_VARIABLE: proxy.origin}

    def close(self, *tables: str, after: int = 0) -> None:
        """Keeps a run from ending: no part of these tables is staged any more, but for so many."""
        self._proxy.reset(Rule(self._wait, after, meets=lambda _, path: _stages(path, tables)))

    def open(self) -> None:
        """Lets all through, those that wait too."""
        self._opened.set()

    def _wait(self, exchange: Exchange) -> None:
        self._opened.wait()
        exchange.reply(exchange.forward())


def _stages(path: str, tables: tuple[str, ...]) -> bool:
    """Whether a request has the rows of a part appear in the lake."""
    return path.endswith(".parquet?comp=blocklist") and any(f"/{name}/" in path for name in tables)


@contextmanager
def gate(azurite: servers.Azurite) -> Iterator[Gate]:
    """A gate, open and gone at the end."""
    with proxy(azurite.blob_origin) as before:
        made = Gate(azurite, before)
        try:
            yield made
        finally:
            made.open()

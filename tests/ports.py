"""Ports for servers that are told theirs, since they cannot say which one they took."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def ports_of_ones_own(count: int) -> Iterator[list[int]]:
    """Ports that nobody else of this machine is given until this ends, whoever serves there or not.

    A port that was only found free may be another's by the time that it is served at, or be given
    to who tries it before then, and so meets himself. One that a socket is bound to without
    listening is given to nobody who asks for any; who asks for this one may listen there, as both
    say SO_REUSEADDR.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
        if sys.platform != "linux":
            held.close()  # there, a port that is bound to is kept from its server too
        yield ports

"""The proxy before object stores, which tests trust."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

from tests.store_proxy import Exchange, Rule, proxy

OTHER = """
import socket, sys
own, there = map(int, sys.argv[1:])
held = socket.socket()
held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
held.bind(("127.0.0.1", own))
held.connect(("127.0.0.1", there))
print("connected", flush=True)
sys.stdin.read()
"""


def test_who_asks_is_told_from_others_at_the_same_port() -> None:
    """A port is taken once for each two ends: other processes may have it, to ask others."""
    askers: list[int] = []

    def ask(exchange: Exchange) -> None:
        askers.append(exchange.asker())
        exchange.reset()

    with ExitStack() as stack:
        asking = stack.enter_context(socket.socket())
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.bind(("127.0.0.1", 0))
        for _ in range(5):
            elsewhere = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports = asking.getsockname()[1], elsewhere.getsockname()[1]
            other = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", OTHER, *map(str, ports)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert other.stdout is not None
            assert other.stdout.readline() == b"connected\n"
        server = stack.enter_context(proxy("http://127.0.0.1:9"))
        server.reset(Rule(ask))
        asking.connect(("127.0.0.1", server.server_port))
        asking.sendall(b"GET / HTTP/1.1\r\n\r\n")
        asking.settimeout(60)
        with suppress(ConnectionResetError):
            assert asking.recv(1) == b""
    assert askers == [os.getpid()]


def test_half_a_body_is_no_request() -> None:
    """The store would take it for the whole."""
    with proxy("http://127.0.0.1:9") as server:
        with socket.create_connection(("127.0.0.1", server.server_port)) as asking:
            asking.sendall(b"PUT /x HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
            asking.shutdown(socket.SHUT_WR)
            asking.settimeout(60)
            assert asking.recv(1) == b""
        assert server.requests == []

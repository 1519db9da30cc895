"""An HTTP gate before Azurite: it loses answers, or answers by itself, as networks do."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


class Gate(ThreadingHTTPServer):
    """Forwards requests to `target`, with the faults that a test asks for.

    Attributes:
        lose: how many answers to writes are lost, though Azurite did what was asked.
        refusal: a status and headers to answer everything with; None forwards.
        answers: the status of each answer that was given, and the bytes of its content.
    """

    daemon_threads = True
    lose = 0
    refusal: tuple[int, dict[str, str]] | None = None

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.answers: list[tuple[int, int]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refusal:
            status, headers = self.server.refusal
            self._answer(status, headers, b"")
            return
        assert self.server.target.hostname is not None
        with closing(
            http.client.HTTPConnection(self.server.target.hostname, self.server.target.port)
        ) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers))
            with upstream.getresponse() as answer:
                content = answer.read()
        if self.command != "GET" and self.server.lose:
            self.server.lose -= 1
            self.close_connection = True
            return
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        self._answer(answer.status, kept, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.server.answers.append((status, len(content)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_MERGE = do_PATCH = _forward  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@contextmanager
def gate(target: str) -> Iterator[Gate]:
    """A gate to `target`, open until the block ends."""
    with Gate(target) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()

"""An HTTP gate before LocalStack, which makes trouble as networks and busy services do."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

_HOP = {"connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass
class Trouble:
    """What happens to some requests.

    Attributes:
        methods: which.
        path: what their path and query hold.
        times: to how many of them.
        status: what they are answered with, without LocalStack being asked; 0 asks it.
        code: the error code in that answer.
        body: its body, where it is no error.
        headers: headers of that answer.
        cut: after how many bytes of its body an answer breaks off; None sends all of it.
    """

    methods: str
    path: str = ""
    times: int = 1_000
    status: int = 0
    code: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


class Gate(ThreadingHTTPServer):
    """Forwards requests to `target`.

    Attributes:
        trouble: what happens to some of them; None for nothing.
        requests: method and path of each that came.
    """

    daemon_threads = True
    trouble: Trouble | None = None

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.requests: list[tuple[str, str]] = []
        self.lock = Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def due(self, method: str, path: str) -> Trouble | None:
        with self.lock:
            self.requests.append((method, path))
            found = self.trouble
            if found is None or not found.times or found.path not in path:
                return None
            if method not in found.methods.split():
                return None
            found.times -= 1
            return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.server.due(self.command, self.path)
        if trouble and trouble.status:
            said = f"<Error><Code>{trouble.code}</Code><Message>by the gate</Message></Error>"
            self._answer(trouble.status, trouble.headers, (trouble.body or said).encode())
            return
        assert self.server.target.hostname is not None
        with closing(
            http.client.HTTPConnection(self.server.target.hostname, self.server.target.port)
        ) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers))
            with upstream.getresponse() as answer:
                content = answer.read()
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, content, length, trouble.cut if trouble else None)

    def _answer(
        self,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        length: str | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:cut])
        if cut is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def gate(target: str) -> Iterator[Gate]:
    """A gate before a service, on a port of its own."""
    with Gate(target) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

"""An HTTP proxy before an object store, which makes the trouble that networks and services make.

Requests pass as they came, so that their signatures hold. A rule picks some of them, and a fault,
a function, decides what becomes of each: it may answer by itself, ask the store, or break the
connection.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

_BY_HOP = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
_RESET = b"\1\0\0\0\0\0\0\0"  # to linger for no time: what was not sent is dropped, and it is told


class Answer(NamedTuple):
    """What a store says.

    Attributes:
        status: the HTTP status.
        headers: its headers; for an answer to HEAD also the length of a body that is not there.
        body: its body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """A request that came, and what is made of it.

    Attributes:
        method: its method.
        path: its path and query.
        headers: its headers.
        body: its body.
    """

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.method, self.path = handler.command, handler.path
        self.headers = {k: v for k, v in handler.headers.items() if k.lower() not in _BY_HOP}
        size = int(handler.headers.get("Content-Length") or 0)
        self.body = handler.rfile.read(size)
        if len(self.body) < size:  # the store would take it for the whole
            raise ConnectionError("whoever asked is gone amid the body")

    def forward(self) -> Answer:
        """Asks the store, which does what it is asked for."""
        with closing(self._store()) as store:  # also when it breaks off
            store.request(self.method, self.path, self.body, self.headers)
            with store.getresponse() as came:
                body = came.read()
        kept = {k: v for k, v in came.headers.items() if k.lower() not in _BY_HOP}
        if self.method == "HEAD":
            kept["Content-Length"] = came.headers.get("Content-Length", "0")
        return Answer(came.status, kept, body)

    def forward_half(self) -> None:
        """Sends the store half of the body, and is gone."""
        with closing(self._store()) as store:
            store.putrequest(self.method, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                store.putheader(name, value)
            store.putheader("Content-Length", str(len(self.body)))
            store.endheaders(self.body[: len(self.body) // 2])
            _reset(store.sock)

    def reply(self, answer: Answer, *, share: float = 1.0) -> None:
        """Gives an answer whose headers promise the whole, and this share of its body."""
        handler, body = self._handler, answer.body
        handler.send_response_only(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if "Content-Length" not in answer.headers and answer.status not in (204, 304):
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: int(len(body) * share)])
        handler.wfile.flush()
        handler.close_connection = share < 1

    def reset(self) -> None:
        """Breaks the connection: the other side sees a reset."""
        self._handler.close_connection = True
        _reset(self._handler.connection)

    def asker(self) -> int:
        """The process that asks.

        Raises:
            LookupError: it is gone.
        """
        # Its port alone may be that of others too, who are connected elsewhere.
        ends = self._handler.client_address, self._handler.connection.getsockname()
        for found in psutil.net_connections("tcp4"):
            if (found.laddr, found.raddr) == ends and found.pid:
                return found.pid
        raise LookupError("nobody asks")

    def _store(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._handler.server.target, timeout=60)


Fault = Callable[[Exchange], None]


class Rule(NamedTuple):
    """What happens to some requests.

    Attributes:
        fault: what becomes of each of them.
        first: the number of the first, counted from 0 among those that `meets` picks.
        every: each how many-th after it.
        times: how many there are at most.
        meets: tells by its method and path whether a request counts.
    """

    fault: Fault
    first: int = 0
    every: int = 1
    times: int = 1_000_000
    meets: Callable[[str, str], bool] = lambda _method, _path: True


class Proxy(ThreadingHTTPServer):
    """Serves at a port of its own until it is shut down.

    Args:
        target: the store's address, such as `http://127.0.0.1:4566`.

    Attributes:
        requests: method and path of every request since `reset`.
        hits: how many of them had a fault.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 80)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self._lock = Lock()
        self.reset()

    def reset(self, rule: Rule | None = None) -> None:
        """Forgets what came, and goes by another rule; None lets everything pass."""
        with self._lock:
            self._rule, self._met, self.hits = rule, 0, 0
            self.requests: list[tuple[str, str]] = []

    def fault(self, exchange: Exchange) -> Fault | None:
        """What is to become of a request; None when it passes."""
        with self._lock:
            self.requests.append((exchange.method, exchange.path))
            rule = self._rule
            if rule is None or not rule.meets(exchange.method, exchange.path):
                return None
            number, self._met = self._met - rule.first, self._met + 1
            if number < 0 or number % rule.every or number // rule.every >= rule.times:
                return None
            self.hits += 1
            return rule.fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    server: Proxy

    def _meet(self) -> None:
        exchange = Exchange(self)
        fault = self.server.fault(exchange)
        if fault is not None:
            fault(exchange)
        else:
            exchange.reply(exchange.forward())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _meet  # noqa: N815 - the base's names

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever asked is gone, or was got rid of
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """A proxy before a store, gone at the end."""
    with Proxy(target) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answering(status: int, code: str, retry_after: int | None = None) -> Fault:
    """Has the store refuse a request that it never sees, as S3 and Azure both word it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>by the tests</Message></Error>"
    headers = {"Content-Type": "application/xml", "x-ms-error-code": code}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)

    def fault(exchange: Exchange) -> None:
        body = b"" if exchange.method == "HEAD" else text.encode()
        exchange.reply(Answer(status, headers, body))

    return fault


def refused(exchange: Exchange) -> None:
    """The connection breaks before the store knows of the request."""
    exchange.reset()


def half_sent(exchange: Exchange) -> None:
    """The connection breaks amid the request's body."""
    if exchange.body:
        exchange.forward_half()
    exchange.reset()


def lost(exchange: Exchange) -> None:
    """The store does what it was asked for, and its answer does not arrive."""
    exchange.forward()
    exchange.reset()


def half_answered(exchange: Exchange) -> None:
    """The connection breaks amid the answer's body."""
    exchange.reply(exchange.forward(), share=0.5)
    exchange.reset()


def damaged(exchange: Exchange) -> None:
    """One byte becomes another on its way, that way or back."""
    if exchange.body:
        exchange.body = _other_byte(exchange.body)
        answer = exchange.forward()
        if b"Provided contentMD5 doesn't match" in answer.body:  # Azurite has another code for it
            answering(400, "Md5Mismatch")(exchange)
        else:
            exchange.reply(answer)
        return
    answer = exchange.forward()
    exchange.reply(answer._replace(body=_other_byte(answer.body)))


def shortened(exchange: Exchange) -> None:
    """The answer has fewer bytes than were asked for, and says so."""
    answer = exchange.forward()
    exchange.reply(answer._replace(body=answer.body[: len(answer.body) // 2]))


def truncated(exchange: Exchange) -> None:
    """The answer ends before the length that it promised, and the connection in good order."""
    exchange.reply(exchange.forward(), share=0.5)


class Outage:
    """From a write on, whose answer is lost, the store does not answer any more.

    Args:
        writes: how many writes go well before.

    Attributes:
        begun: whether there was that write.
    """

    def __init__(self, writes: int) -> None:
        self._left = writes
        self._lock = Lock()
        self.begun = False

    def __call__(self, exchange: Exchange) -> None:
        with self._lock:
            down, writes = self.begun, exchange.method not in ("GET", "HEAD")
            last = writes and not down and not self._left
            self.begun = down or last
            self._left -= writes
        if down:
            _down(exchange)
        elif last:
            lost(exchange)
        else:
            exchange.reply(exchange.forward())


_down = answering(503, "ServiceUnavailable")


def _other_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return b"%b%c%b" % (data[:middle], data[middle] ^ 1, data[middle + 1 :]) if data else data


def _reset(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        os.close(sock.detach())  # at once, whoever holds on to the object

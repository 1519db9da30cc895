"""A TCP proxy before a server, to break connections as a restart of the server would.

It runs in a process of its own: a driver may hold this one's interpreter while it waits for data.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Forwards connections to a server, until it is told to cut them.

    Args:
        server: where the server is, as `host,port`.

    Attributes:
        address: what leads to it, likewise.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("tcp:").partition(",")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mssql.cutting_proxy", host, port or "1433"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = f"127.0.0.1,{self._answer().strip()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def cut(self) -> None:
        """Breaks every connection that is open now; new ones are served."""
        self._tell("cut")

    def cut_after(self, size: int) -> None:
        """Breaks every connection once the server has sent `size` more bytes."""
        self._tell("cut_after", size)

    def refuse(self, seconds: float) -> None:
        """Breaks every connection, and each new one for a while, as a server that starts does."""
        self._tell("refuse", seconds)

    def _tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "the proxy has ended"
        return answer


class _Proxy:
    """What the process does."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._refused_until = 0.0
        self._cut_at: float | None = None
        self._carried = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _break(end)

    def cut_after(self, size: float) -> None:
        with self._lock:
            self._cut_at = self._carried + size

    def refuse(self, seconds: float) -> None:
        self._refused_until = time.monotonic() + seconds
        self.cut()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if time.monotonic() < self._refused_until:
                _break(client)
                continue
            server = socket.create_connection(self._server)
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                arguments = (source, sink, source is server)
                threading.Thread(target=self._forward, args=arguments, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
                if counted and self._counts(len(data)):
                    self.cut()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _counts(self, size: int) -> bool:
        """Whether the connections are to be cut now."""
        with self._lock:
            self._carried += size
            if self._cut_at is None or self._carried < self._cut_at:
                return False
            self._cut_at = None
            return True


def _break(end: socket.socket) -> None:
    """Closes a connection at once, whoever reads from it: the other side sees a reset."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _serve(host: str, port: str) -> None:
    proxy = _Proxy(host, int(port))
    print(proxy.port, flush=True)
    for line in sys.stdin:
        command, *size = line.split()
        getattr(proxy, command)(*map(float, size))
        print("done", flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])

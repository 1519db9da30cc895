"""`copyjob serve`: the API, the schedules and the runs, in one process."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import uvicorn

from copy_core import logs
from copy_core.cli import notify
from copy_core.cli.common import DONE
from copy_core.cli.progress import STOPPING
from copy_core.cli.signals import stopped_by_signals
from copy_core.errors import ConfigError, CopyJobError
from copy_core.failures import classify
from copy_core.logs import log
from copy_core.runners.launcher import LocalLauncher
from copy_core.service import interrupted, retention, ticker
from copy_core.service.catalog import open_catalog
from copy_core.service.service import Service
from copy_core.service.settings import TOKEN, Settings
from copy_core.state.registry import open_state
from copy_core.web.app import create_app
from copy_core.web.security import TokenGuard

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_MINUTE = timedelta(minutes=1)
_ANSWERS_S = 10
_GRACE_S = 2.0


def serve(settings: Settings, host: str, port: int) -> int:
    """Serves until a signal comes; returns the exit code.

    Args:
        settings: where jobs, connections and state are, and the token.
        host: the address to listen on.
        port: the port; 0 for any that is free.

    Raises:
        ConfigError: it cannot begin: a setting, the job folder, the token or the port.
        TransientError: the jobs or the state cannot be reached.
    """
    logs.setup(verbose=log.isEnabledFor(logging.DEBUG))
    if notify.supervised() and not settings.token:
        raise ConfigError(
            f"{TOKEN.name} is not set, and a service has nobody to show a fresh token to",
            fix=f"Set {TOKEN.name} to {TOKEN.values}",
            code="setting-missing",
        )
    token = settings.token or secrets.token_urlsafe(32)
    guard = TokenGuard(token, hosts={*_LOOPBACK, host} if _is_loopback(host) else None)
    with ExitStack() as held:
        catalog = held.enter_context(closing(open_catalog(settings)))
        # Both are asked now, or only who asks first would be told that they are not there.
        catalog.names()
        store = held.enter_context(open_state(settings.state))
        store.list(retention.PARTITION, limit=1)
        listening = held.enter_context(_listen(host, port))
        launcher = LocalLauncher(catalog.load, store)
        service = Service(settings, catalog, store, launcher)
        _announce(host, listening.getsockname()[1], None if settings.token else token)
        asyncio.run(_serve(service, launcher, guard, listening))
    _leave_hanging()
    return DONE


async def _serve(
    service: Service, launcher: LocalLauncher, guard: TokenGuard, listening: socket.socket
) -> None:
    config = uvicorn.Config(
        create_app(lambda: service, guard),
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_ANSWERS_S,
    )
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True
        os.write(2, f"{STOPPING}\n".encode())  # past Python's buffers, whose locks may be held

    with stopped_by_signals(stop):
        upkeep = asyncio.create_task(_each_minute(service))
        await server.serve([listening])
        upkeep.cancel()
        # What a task had begun in a thread ends by itself; runs it would start are refused.
        await asyncio.to_thread(launcher.stop)


def _leave_hanging() -> None:
    """Ends the process, should some request still wait for a system that does not answer.

    Python would wait for its thread. All that the service keeps is written and closed by now.
    """
    ends = time.monotonic() + _GRACE_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, ends - time.monotonic()))
            if thread.is_alive():
                log.warning("ended while a request still waits for a system that does not answer")
                logging.shutdown()
                os._exit(DONE)


class _Server(uvicorn.Server):
    """A server that leaves signals alone, and tells when it begins and ends to answer."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify.tell("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify.tell("STOPPING=1")
        await super().shutdown(sockets)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override] # theirs is a generator
        return nullcontext()


async def _each_minute(service: Service) -> None:
    """Takes up what was interrupted, starts what is due and removes what is old.

    No failure ends it. After one it looks again for what was interrupted: while the state was out
    of reach, runs of this process may have ended without a word.
    """
    left: list[str] | None = None
    async for now in _minutes():
        failed: list[CopyJobError] = []
        with _survived("what was interrupted could not be taken up", failed):
            if left is None:
                left = await asyncio.to_thread(interrupted.left_open, service)
            left = await interrupted.take_up(service, left)
        with _survived("what is due could not be started", failed):
            await ticker.tick(service, now)
        if failed:
            left = None
        with _survived("old records could not be removed", []):
            await retention.daily(service, now)


async def _minutes() -> AsyncIterator[datetime]:
    """The time now, and then at the beginning of each minute, each once."""
    begun = datetime.min.replace(tzinfo=UTC)
    while True:
        now = datetime.now(UTC)
        minute = now.replace(second=0, microsecond=0)
        # A sleep may end a moment early, and the clock may be set back.
        if minute != begun:
            begun = minute
            yield now
        left = minute + _MINUTE - datetime.now(UTC)
        await asyncio.sleep(min(left, _MINUTE).total_seconds())  # it may be set back by now


@contextmanager
def _survived(what: str, failed: list[CopyJobError]) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # noqa: BLE001 - it is told, and tried again in a while
        error = classify(e)
        failed.append(error)
        log.error("%s: %s", what, error, exc_info=None if error is e else e)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens: a port that is taken is told before anything is served."""
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=2048)
    except OSError as e:
        taken = e.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be listened on: {e.strerror or e}"
        raise ConfigError(
            f"port {port} of {host} {why}",
            fix="Give another one with --port" + ("" if taken else ", or correct --host"),
            code="port-taken" if taken else "address",
        ) from e


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.casefold() == "localhost"


def _announce(host: str, port: int, token: str | None) -> None:
    """Tells where the server is, and the token unless somebody chose it."""
    if not _is_loopback(host):
        warning = click.style("warning:", fg="yellow", bold=True)
        click.echo(
            f"{warning} {host} can be reached from other machines, and the token travels as it is:"
            " put a proxy with TLS in front",
            err=True,
        )
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    click.echo(f"copyjob is at http://{name}:{port}")
    click.echo(f"token: {token or f'the one in {TOKEN.name}'}")

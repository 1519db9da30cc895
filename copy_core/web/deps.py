"""What routes work with: the service, opened when it is first asked for, and settled names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Request
from pydantic import Field

from copy_core.errors import ConfigError, CopyJobError, TerminalError
from copy_core.failures import classify
from copy_core.job import JOB_NAME
from copy_core.service.service import Service

if TYPE_CHECKING:
    from anyio import CapacityLimiter


class Opener:
    """Opens a service once, when it is first needed; one that failed to open is tried again.

    Args:
        open_service: opens it.
    """

    def __init__(self, open_service: Callable[[], Service]) -> None:
        self._open, self._lock = open_service, Lock()
        self._service: Service | None = None

    def __call__(self) -> Service:
        """The service.

        Raises:
            TerminalError: its settings are wrong.
            TransientError: what it works with does not answer.
        """
        with self._lock:
            if self._service is None:
                try:
                    self._service = self._open()
                except ConfigError as e:
                    # No request can mend what is wrong with the service itself.
                    raise TerminalError(e.what, fix=e.fix, code=e.code, **e.where) from e
            return self._service


def _service(request: Request) -> Service:
    opener: Opener = request.app.state.opener
    return opener()


def _sources(request: Request) -> CapacityLimiter:
    limiter: CapacityLimiter = request.app.state.sources
    return limiter


TheService = Annotated[Service, Depends(_service)]
"""The service; a route that takes it answers 500 or 503 when it cannot be opened."""

Sources = Annotated["CapacityLimiter", Depends(_sources)]
"""Limits the threads that wait for systems behind connections: one that hangs stops no others."""

JobName = Annotated[
    str, Path(alias="job", pattern=JOB_NAME, description="The job's name.", examples=["sales"])
]
"""The job in a path."""

TableName = Annotated[str, Field(pattern=r"^.", max_length=1000)]
"""A table in a body. The pattern has pydantic refuse half a surrogate pair, which is no text."""


@contextmanager
def at_connection(name: str) -> Iterator[None]:
    """Says in every error of a connection's system which connection that is."""
    try:
        yield
    except (CopyJobError, OSError) as e:
        raise classify(e).at(connection=name) from e

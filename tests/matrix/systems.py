"""The systems of the matrix, each ready to hold a source or a destination of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from tests.crash.store_places import Kind, container, options
from tests.servers import Azurite, LocalStack


class System(NamedTuple):
    """A system that rows are copied from and to.

    Attributes:
        name: what it is called in the matrix.
        kind: gives what `places.source` and `places.destination` make an empty one of; its
            argument tells those apart that are used at the same time.
        files: whether it can hold files that are copied as they are.
    """

    name: str
    kind: Callable[[str], str]
    files: bool = False


def stores(localstack: LocalStack, azurite: Azurite, form: str) -> list[System]:
    """The object stores, with files of a format."""
    endpoints = {
        "s3": localstack.endpoint,
        "azure_blob": azurite.blob_endpoint,
        "adls_gen2": azurite.blob_endpoint,
    }
    return [
        System(service, partial(_container, service, form, endpoint), files=True)
        for service, endpoint in endpoints.items()
    ]


def _container(service: str, form: str, endpoint: str, role: str) -> str:
    kind = Kind(service, form, endpoint, f"{role}-{secrets.token_hex(6)}")
    container(options(kind)).create()
    return kind.text


def own(form: str) -> list[System]:
    """The systems that need no server."""
    return [
        System("sqlite", lambda _: "sqlite"),
        System("delta", lambda _: "delta"),
        System("local", lambda _: form, files=True),
    ]


@contextmanager
def sql_server() -> Iterator[list[System]]:
    """The live SQL Server, where the environment names one."""
    from tests.mssql.server import databases, named

    if named() is None:
        yield []
        return
    with databases() as made:
        yield [System("sql_server", lambda role: f"mssql:{made.take(role).name}")]

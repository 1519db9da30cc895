"""The systems of the matrix, each ready to hold a source or a destination of its own."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest
from azure.storage.blob import ContainerClient

from tests.crash.store_places import Kind, container, options
from tests.servers import Azurite, LocalStack

if TYPE_CHECKING:
    from tests.mssql.server import Database


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


def lakehouses(azurite: Azurite, form: str) -> list[System]:
    """What is kept in OneLake, while its stand-in is up: tables, and files of a format."""

    def files(role: str) -> str:
        return Kind("fabric_lakehouse_files", form, "", _workspace(azurite, role)).text

    return [
        System("lakehouse", lambda role: f"lakehouse:{_workspace(azurite, role)}"),
        System("lakehouse_files", files, files=True),
    ]


def _workspace(azurite: Azurite, role: str) -> str:
    name = f"{role}-{secrets.token_hex(6)}"
    ContainerClient(azurite.blob_endpoint, name, azurite.key).create_container()
    return name


@contextmanager
def sql_servers(azurite: Azurite) -> Iterator[list[System]]:
    """Where the environment names a live SQL Server: that, and a stand-in for a Warehouse."""
    from tests.mssql.server import databases, named

    if named() is None:
        yield []
        return
    from tests.mssql import warehouse, warehouse_places

    with databases() as made, pytest.MonkeyPatch.context() as patch:
        warehouse.put_in_place(patch)

        def taken(role: str) -> Database:
            # Threads try their cells side by side, each in databases of its own.
            return made.take(f"{role}_{threading.current_thread().name}")

        yield [
            System("sql_server", lambda role: f"mssql:{taken(role).name}"),
            System(
                "warehouse",
                lambda role: warehouse_places.kind(taken(role), azurite.blob_endpoint),
            ),
        ]

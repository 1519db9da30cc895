"""Connector name -> the class that serves it, imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from copy_core.errors import ConfigError
from copy_core.secrets import resolve

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.connectors.options import Connection


class Entry(NamedTuple):
    """Where a connector lives.

    Attributes:
        module: its module below `copy_core.connectors`.
        source: its `Source` class, made from the connection's options alone.
        destination: its `Destination` class, likewise.
    """

    module: str
    source: str
    destination: str


CONNECTORS: dict[str, Entry] = {
    "memory": Entry("memory", "MemorySource", "MemoryDestination"),
    "sqlite": Entry("sql.sqlite", "SqliteSource", "SqliteDestination"),
    "local": Entry("files.local", "LocalSource", "LocalDestination"),
    "delta": Entry("delta", "DeltaSource", "DeltaDestination"),
    **{
        flavour: Entry("sql.mssql", "MssqlSource", "MssqlDestination")
        for flavour in ("sql_server", "azure_sql", "azure_sql_mi", "rds_sql_server")
    },
}


def open_source(connection: Connection) -> Source:
    """Opens a connection for reading.

    Raises:
        ConfigError: a secret is not set, or the system refuses the connection's options.
        TransientError: the system does not answer.
    """
    return cast("Source", _load(connection, "source"))


def open_destination(connection: Connection) -> Destination:
    """Opens a connection for writing; raises as `open_source` does."""
    return cast("Destination", _load(connection, "destination"))


def _load(connection: Connection, role: str) -> object:
    entry = CONNECTORS[connection.type]
    try:
        module = import_module(f"copy_core.connectors.{entry.module}")
    except ImportError as e:
        raise ConfigError(
            f"the library for {connection.type} connections cannot be loaded: {e}",
            fix="Install copyjob with all its dependencies: pip install copyjob",
            code="library-missing",
        ) from e
    return getattr(module, getattr(entry, role))(_resolved(connection))


def _resolved(connection: Connection) -> Connection:
    """The connection with the values of its secrets in place of the references."""
    update: dict[str, object] = {}
    for name in type(connection).model_fields:
        value = getattr(connection, name)
        if isinstance(value, str):
            update[name] = resolve(value)
        elif isinstance(value, dict):
            update[name] = {k: resolve(v) for k, v in value.items()}
    return connection.model_copy(update=update)

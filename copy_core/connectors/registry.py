"""Connector name -> what serves it, imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from copy_core.errors import ConfigError
from copy_core.job import Definition
from copy_core.secrets import resolve

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.connectors.options import Connection

Options = TypeVar("Options", bound=Definition)


class Entry(NamedTuple):
    """Where a connector lives.

    Attributes:
        module: its module below `copy_core.connectors`.
        source: its `Source` class, or what opens one, from the connection's options alone.
        destination: its `Destination` class, likewise.
    """

    module: str
    source: str
    destination: str


CONNECTORS: dict[str, Entry] = {
    "memory": Entry("memory", "MemorySource", "MemoryDestination"),
    "sqlite": Entry("sql.sqlite", "SqliteSource", "SqliteDestination"),
    **{
        lake: Entry("delta", "DeltaSource", "DeltaDestination")
        for lake in ("delta", "fabric_lakehouse")
    },
    **{
        store: Entry("files.connector", "open_source", "open_destination")
        for store in ("local", "s3", "azure_blob", "adls_gen2", "fabric_lakehouse_files")
    },
    **{
        flavour: Entry("sql.mssql", "MssqlSource", "MssqlDestination")
        for flavour in ("sql_server", "azure_sql", "azure_sql_mi", "rds_sql_server")
    },
    "fabric_warehouse": Entry("sql.fabric_warehouse", "WarehouseSource", "WarehouseDestination"),
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


def _resolved(options: Options) -> Options:
    """A connection's options with the values of its secrets in place of the references."""
    update: dict[str, object] = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, str):
            update[name] = resolve(value)
        elif isinstance(value, dict):
            update[name] = {k: resolve(v) for k, v in value.items()}
        elif isinstance(value, Definition):
            update[name] = _resolved(value)
    return options.model_copy(update=update)

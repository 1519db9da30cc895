"""What serves connections to files: a store by where they are, rows or whole objects by format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.file_options import (
    AzureStorageOptions,
    FileOptions,
    LocalOptions,
    S3Options,
)
from copy_core.connectors.lakehouse_options import FabricLakehouseFilesOptions

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.connectors.files.store import Store

Options = LocalOptions | S3Options | AzureStorageOptions | FabricLakehouseFilesOptions


def store_of(options: Options, *, exists: bool = False) -> Store:
    """Opens the store that a connection says; no library of another's is imported.

    Args:
        options: the connection.
        exists: a folder of this machine has to be there; else a missing one is empty.

    Raises:
        ConfigError: the service refuses the connection's options.
    """
    if isinstance(options, LocalOptions):
        from copy_core.connectors.files.stores.local import LocalStore

        return LocalStore(options.root, exists=exists)
    if isinstance(options, S3Options):
        from copy_core.connectors.files.stores.s3 import S3Store

        return S3Store(options)
    if isinstance(options, FabricLakehouseFilesOptions):
        from copy_core.connectors.files.stores.azure_onelake import OneLakeStore

        return OneLakeStore(options)
    from copy_core.connectors.files.stores.azure import AzureStore

    return AzureStore(options)


def open_source(options: Options) -> Source:
    """Opens a connection for reading; raises as `store_of`."""
    store = store_of(options, exists=True)
    if _whole(options):
        from copy_core.connectors.files.objects import ObjectSource

        return ObjectSource(store, options)
    from copy_core.connectors.files.source import FileSource

    return FileSource(store, options)


def open_destination(options: Options) -> Destination:
    """Opens a connection for writing; raises as `store_of`."""
    store = store_of(options)
    if _whole(options):
        from copy_core.connectors.files.objects import ObjectDestination

        return ObjectDestination(store, options)
    from copy_core.connectors.files.destination import FileDestination

    return FileDestination(store, options)


def _whole(options: FileOptions) -> bool:
    """Whether files are copied as they are."""
    return options.format == "binary"

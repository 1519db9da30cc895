"""The `local` connector: files of rows in a folder of this machine."""

from copy_core.connectors.files.destination import LocalDestination
from copy_core.connectors.files.source import LocalSource

__all__ = ["LocalDestination", "LocalSource"]

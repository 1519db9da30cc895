"""Delta tables below a folder or object store path, through delta-rs and Parquet."""

from copy_core.connectors.delta.destination import DeltaDestination
from copy_core.connectors.delta.source import DeltaSource

__all__ = ["DeltaDestination", "DeltaSource"]

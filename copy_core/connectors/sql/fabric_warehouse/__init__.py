"""Warehouses of Microsoft Fabric: read over TDS, written by COPY INTO and one transaction."""

from copy_core.connectors.sql.fabric_warehouse.destination import WarehouseDestination
from copy_core.connectors.sql.fabric_warehouse.source import WarehouseSource

__all__ = ["WarehouseDestination", "WarehouseSource"]

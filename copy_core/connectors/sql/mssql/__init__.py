"""SQL Server, Azure SQL Database, Azure SQL Managed Instance and RDS for SQL Server."""

from copy_core.connectors.sql.mssql.destination import MssqlDestination
from copy_core.connectors.sql.mssql.source import MssqlSource

__all__ = ["MssqlDestination", "MssqlSource"]

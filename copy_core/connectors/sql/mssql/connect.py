"""The two drivers: where they are, and what they are told about a connection.

pyodbc serves catalog, statements and transactions through the Microsoft ODBC driver; mssql-python
carries that driver, and moves the rows as Arrow.
"""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions

# The system libraries that the drivers want, and the packages that bring them on Debian and Ubuntu.
_PACKAGES = {
    "libodbc.": "libodbc2",
    "libodbcinst.": "libodbc2",
    "libltdl.": "libltdl7",
    "libgssapi_krb5.": "libgssapi-krb5-2",
    "libkrb5.": "libkrb5-3",
    "libssl.": "libssl3",
    "libcrypto.": "libssl3",
}


def missing(said: str) -> ConfigError:
    """The error for a driver that the system could not load.

    Args:
        said: what the loader said; it begins with the file that it did not find.
    """
    package = next((p for library, p in _PACKAGES.items() if said.startswith(library)), "")
    return ConfigError(
        f"the SQL Server driver cannot be loaded: {said}",
        fix=f"Install the system package {package} (Debian and Ubuntu: apt install {package})"
        if package
        else "Install the Microsoft ODBC Driver 18 for SQL Server, or mssql-python-odbc",
        code="driver-missing",
    )


try:
    import mssql_python
    import pyodbc
except ImportError as e:
    raise missing(str(e)) from e

__all__ = ["direct_string", "driver", "missing", "mssql_python", "odbc_string", "pyodbc"]

# A connection of a pool could carry an isolation level, or a transaction, over to the next user.
pyodbc.pooling = False
mssql_python.pooling(enabled=False)


@cache
def driver() -> str:
    """The ODBC driver as pyodbc wants it named: the file that mssql-python-odbc carries, else the
    newest that the system has.

    Raises:
        ConfigError: there is none, or a system library that it needs is missing.
    """
    carried = str(mssql_python.get_native_provider_info()["driver_path"] or "")
    # On Windows a driver is named by its registration, never by its file.
    if sys.platform != "win32" and Path(carried).is_file():
        try:
            # Else the driver manager says "file not found" of the driver, whatever was not found.
            ctypes.CDLL(carried)
        except OSError as e:
            raise missing(str(e)) from e
        return carried
    named = re.compile(r"ODBC Driver (\d+) for SQL Server")
    known: list[tuple[int, str]] = [
        (int(match[1]), name) for name in pyodbc.drivers() if (match := named.fullmatch(name))
    ]
    if not known:
        raise missing("there is no ODBC driver for SQL Server")
    return max(known)[1]


def odbc_string(options: MssqlOptions, driver: str) -> str:
    """The connection string for pyodbc. A token, where one is used, is no part of it.

    Args:
        options: the connection, secrets resolved.
        driver: what `driver` returned.
    """
    return _written(
        {"DRIVER": driver, **_keywords(options), "MARS_Connection": "no", "APP": "copyjob"}
    )


def direct_string(options: MssqlOptions) -> str:
    """The connection string for mssql-python, which names the application itself, and has no MARS.

    Args:
        options: the connection, secrets resolved.
    """
    return _written(_keywords(options))


def _keywords(options: MssqlOptions) -> dict[str, str]:
    """Keywords by "DSN and connection string keywords and attributes" of the Microsoft driver."""
    keywords = {
        "Server": options.server,
        "Database": options.database,
        "Encrypt": options.encrypt,
        "TrustServerCertificate": "yes" if options.trust_server_certificate else "no",
        # An idle connection that breaks, as Azure's do, is made again three times, ten seconds
        # apart. The driver does so only where no transaction is open.
        "ConnectRetryCount": "3",
        "ConnectRetryInterval": "10",
    }
    if options.sign_in == "sql":
        keywords |= {"UID": options.user or "", "PWD": options.password or ""}
    if options.sign_in == "kerberos":
        keywords["Trusted_Connection"] = "yes"
    if options.read_only:
        keywords["ApplicationIntent"] = "ReadOnly"
    return keywords


def _written(keywords: dict[str, str]) -> str:
    # In braces no character of a value ends it but the closing brace, which is doubled.
    return ";".join(f"{name}={{{value.replace('}', '}}')}}}" for name, value in keywords.items())

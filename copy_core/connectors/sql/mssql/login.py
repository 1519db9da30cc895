"""Signing in: tokens of Entra ID, and the connections of both drivers."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from copy_core import entra
from copy_core.connectors.sql.mssql.connect import (
    direct_string,
    driver,
    mssql_python,
    odbc_string,
    pyodbc,
)
from copy_core.connectors.sql.mssql.faults import FAILURES, at_login
from copy_core.connectors.sql.mssql.trust import trust
from copy_core.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from copy_core.connectors.options import MssqlOptions

LOGIN_SECONDS = 30
"""How long a server may take to let us in."""
_SESSION = "SET XACT_ABORT ON"
_LOCK_TIMEOUT = "; SET LOCK_TIMEOUT 120000"

# SQL_COPT_SS_ACCESS_TOKEN of the Microsoft driver.
_ACCESS_TOKEN = 1256
# The clouds of Microsoft by the end of a server's name, and what a token is asked for there.
_AUDIENCES = {
    ".database.usgovcloudapi.net": "https://database.usgovcloudapi.net/.default",
    ".database.chinacloudapi.cn": "https://database.chinacloudapi.cn/.default",
}
_AUDIENCE = "https://database.windows.net/.default"
# A host that drops packets is left to the driver, which tries its addresses side by side.
_KNOCK_SECONDS = 5
# Servers whose last login from this process worked. They are not knocked at again: each knock is a
# line in the log of some servers.
_answered: set[str] = set()


def odbc(options: MssqlOptions) -> pyodbc.Connection:
    """Opens a connection of pyodbc; every statement on it is its own transaction.

    Args:
        options: the connection, secrets resolved.

    Raises:
        ConfigError: a driver is missing, or the server refuses us.
        TransientError: the server does not answer.
    """
    _ready(options)
    before = {}
    if held := token(options):
        before[_ACCESS_TOKEN] = packed(held)
    try:
        connection = pyodbc.connect(
            odbc_string(options, driver()),
            autocommit=True,
            timeout=LOGIN_SECONDS,
            attrs_before=before,
        )
        # Else the driver turns varchar into the character set of this process, which may be ASCII.
        connection.setdecoding(pyodbc.SQL_CHAR, encoding="utf-16-le", ctype=pyodbc.SQL_WCHAR)
        connection.execute(session(options)).close()
    except FAILURES as e:
        _answered.discard(options.server)
        raise at_login(e, options) from e
    _answered.add(options.server)
    return connection


def direct(options: MssqlOptions) -> mssql_python.Connection:
    """Opens a connection of mssql-python, likewise. Its bulk copy opens another one by itself,
    and then asks the connection for a new token; `session` does not reach that one.

    Args:
        options: the connection, secrets resolved.

    Raises:
        ConfigError: a driver is missing, or the server refuses us.
        TransientError: the server does not answer.
    """
    _ready(options)
    try:
        connection = mssql_python.connect(
            direct_string(options),
            autocommit=True,
            timeout=LOGIN_SECONDS,
            token_provider=_Tokens(options) if _credential_of(options) else None,
        )
        connection.execute(session(options)).close()
    except FAILURES as e:
        _answered.discard(options.server)
        raise at_login(e, options) from e
    _answered.add(options.server)
    return connection


def session(options: MssqlOptions) -> str:
    """What every connection begins with: an error undoes its whole transaction, and who waits two
    minutes for a lock is told so, which is tried again. A Warehouse of Fabric has no such time-out
    (https://learn.microsoft.com/sql/t-sql/statements/set-lock-timeout-transact-sql).
    """
    return _SESSION if ".datawarehouse." in options.server.lower() else _SESSION + _LOCK_TIMEOUT


def token(options: MssqlOptions) -> str | None:
    """A token of Entra ID for the server; None where the connection signs in without. The
    credential behind it is kept for the process, and renews the token in time.

    Raises:
        ConfigError: Entra ID gives none.
        TransientError: Entra ID does not answer.
    """
    credential = _credential_of(options)
    if credential is None:
        return None
    host = options.server.removeprefix("tcp:").partition(",")[0].lower()
    audience = next((a for end, a in _AUDIENCES.items() if host.endswith(end)), _AUDIENCE)
    return entra.token(credential, audience)


def packed(token: str) -> bytes:
    """A token as the Microsoft driver takes it: UTF-16LE, its length in bytes before it."""
    text = token.encode("utf-16-le")
    return struct.pack("<I", len(text)) + text


class _Given(NamedTuple):
    token: str


class _Tokens:
    """Gives mssql-python its tokens, whatever audience it asks for: it knows one cloud only."""

    def __init__(self, options: MssqlOptions) -> None:
        self._options = options

    def get_token(self, scope: str) -> _Given:
        del scope
        return _Given(token(self._options) or "")


def _credential_of(options: MssqlOptions) -> TokenCredential | None:
    sign_in = options.sign_in
    if sign_in in ("sql", "kerberos"):
        return None
    return entra.identity(sign_in, options.client_id, options.tenant_id, options.client_secret)


def _ready(options: MssqlOptions) -> None:
    """What must be so before a driver may try."""
    if options.ca_file:
        trust(options.ca_file)
    if options.server not in _answered:
        _knock(options.server)


def _knock(server: str) -> None:
    """Asks whether somebody listens: the driver would take all of `LOGIN_SECONDS` to say nobody
    does, and not tell a wrong name from a server that is starting.
    """
    host, _, port = server.removeprefix("tcp:").partition(",")
    host, _, instance = host.partition("\\")
    if ":" in host or (instance and not port) or host in (".", "(local)", "(localdb)"):
        return  # another protocol, or a port that only the server's browser service knows
    port = port.strip() or "1433"
    if not port.isdecimal() or int(port) >= 1 << 16:
        raise ConfigError(
            f"'{port}' is no port",
            fix="Write `server` as HOST or HOST,PORT",
            code="server-missing",
        )
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
    except socket.gaierror as e:
        if e.errno == socket.EAI_AGAIN:
            raise TransientError(
                f"the name {host} cannot be looked up now",
                fix="If it goes on, check the network's name service",
                code="unreachable",
            ) from e
        raise ConfigError(
            f"there is no host named {host}",
            fix="Correct `server` of the connection",
            code="server-missing",
        ) from e
    except ConnectionRefusedError as e:
        raise TransientError(
            f"nobody listens at {server}: the server is down, or the port is another",
            fix="Start the server, or correct `server` of the connection",
            code="unreachable",
        ) from e
    except OSError:
        return  # the driver may know a better way, and else says why not

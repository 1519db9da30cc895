"""State URL -> the store behind it, imported when it is first needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError
from copy_core.secrets import remember, resolve

if TYPE_CHECKING:
    from copy_core.state.base import StateStore

_TABLES_URL = re.compile(
    r"(https://[a-z0-9-]+\.table\.[a-z0-9.-]+)(?:/([A-Za-z][A-Za-z0-9]{2,62})?)?"
)
_REFERENCES = re.compile(r"(?:\$\{env:[A-Za-z_]\w*\})+", re.ASCII)
_SECRETS = re.compile(r"(?:AccountKey=|[?&;=]sig=)([^;&]+)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_CHOICES = (
    "Give a file (state.db or sqlite:///state.db), https://ACCOUNT.table.core.windows.net/TABLE,"
    " or tables:${env:NAME} where NAME holds a storage connection string"
)


def open_state(url: str) -> StateStore:
    """Opens a state store.

    Args:
        url: one of

            * `path` or `sqlite:///path`: a SQLite file (`sqlite:////path` from the root);
            * `https://ACCOUNT.table.core.windows.net[/TABLE]`: Azure Table Storage, by identity;
            * `tables:${env:NAME}`: Azure Table Storage or Azurite, by the connection string in the
              environment variable NAME.

    Raises:
        ConfigError: it is none of these, a variable is not set, or access is refused.
        TerminalError: the state is damaged.
        TransientError: it does not answer.
    """
    return state_opener(url)()


def state_opener(url: str, environ: Mapping[str, str] = os.environ) -> Callable[[], StateStore]:
    """Understands the address of a state store, and returns what opens it.

    Nothing is imported or asked before that is called, so an address can be checked at any start.

    Args:
        url: as for `open_state`.
        environ: the environment that its references are looked up in.

    Raises:
        ConfigError: it is none of these, or a variable is not set.
    """
    if url.startswith("tables:"):
        return _by_connection_string(url.removeprefix("tables:"), environ)
    if url.startswith("https://"):
        found = _TABLES_URL.fullmatch(url)
        if not found:
            raise _unknown("the state's address is no Azure Table Storage table")
        return partial(_by_identity, found[1], found[2])
    path = url.removeprefix("sqlite:///")
    # A single letter before the colon is a drive of Windows.
    if not path or _SCHEME.match(path):
        raise _unknown("the state's address is not understood")
    return partial(_file, path)


def _file(path: str) -> StateStore:
    from copy_core.state.sqlite import SqliteStateStore

    return SqliteStateStore(path)


def _by_identity(account_url: str, table: str | None) -> StateStore:
    from copy_core.state.azure_tables import TABLE, AzureTablesStateStore

    return AzureTablesStateStore.from_url(account_url, table or TABLE)


def _by_connection_string(reference: str, environ: Mapping[str, str]) -> Callable[[], StateStore]:
    # Whatever else stands there may be the secret itself: it is not repeated.
    if not _REFERENCES.fullmatch(reference):
        raise _unknown("the state's connection string is not given by reference")
    connection = resolve(reference, environ)
    for secret in _SECRETS.findall(connection):
        remember(secret)  # a message may hold this part alone

    def opened() -> StateStore:
        from copy_core.state.azure_tables import AzureTablesStateStore

        return AzureTablesStateStore.from_connection_string(connection)

    return opened


def _unknown(what: str) -> ConfigError:
    return ConfigError(what, fix=_CHOICES, code="state-url")

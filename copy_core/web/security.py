"""Who may ask: a guard looks at every request before anything else does."""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi.security import APIKeyHeader, HTTPBearer

from copy_core.errors import ConfigError
from copy_core.secrets import remember

if TYPE_CHECKING:
    from starlette.datastructures import Headers

OPEN = frozenset({"/api/health"})
"""Paths that need no credentials."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SHORTEST_TOKEN = 16


class Guard(ABC):
    """Decides who may ask.

    Attributes:
        scheme: how credentials are sent, for OpenAPI.
    """

    scheme: HTTPBearer | APIKeyHeader

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Lets a request pass, or raises.

        Raises:
            ConfigError: it has no right credentials (code `not-signed-in`), comes from a page of
                another site (`cross-site`), or names a host that is not this one (`host-unknown`).
        """
        self.check_host(headers)
        if method not in _SAFE:
            _same_site(headers)
        if path not in OPEN:
            self.admit(headers)

    @abstractmethod
    def admit(self, headers: Headers) -> None:
        """Checks the credentials.

        Raises:
            ConfigError: they are not there, or wrong (code `not-signed-in`).
        """

    def check_host(self, headers: Headers) -> None:  # noqa: B027 - a platform checks it itself
        """Checks that the request means this service.

        Raises:
            ConfigError: it names another host (code `host-unknown`).
        """


class TokenGuard(Guard):
    """For `copyjob serve`: whoever knows the token may do everything.

    Args:
        token: the token, of 16 characters or more.
        hosts: the names that the service goes by, without port, such as `localhost`, `127.0.0.1`
            and `[::1]`. A page elsewhere that lets its own name point here (DNS rebinding) sends
            its own. Any name will do when None.

    Raises:
        ConfigError: the token is too short.
    """

    scheme = HTTPBearer(auto_error=False)

    def __init__(self, token: str, hosts: Collection[str] | None = None) -> None:
        if len(token) < _SHORTEST_TOKEN:
            raise ConfigError(
                f"the API token is shorter than {_SHORTEST_TOKEN} characters",
                fix="Choose a long random one",
                code="token-short",
            )
        remember(token)
        self._token = token.encode()
        self._hosts = None if hosts is None else {host.casefold() for host in hosts}

    def admit(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Compared in constant time: how long it takes tells nothing about the token.
        right = hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.casefold() != "bearer" or not right:
            raise _not_signed_in("Send the header Authorization: Bearer TOKEN")

    def check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            raise ConfigError(
                "the request is for a host that this service is not known by",
                fix=f"Ask for {' or '.join(sorted(self._hosts))}",
                code="host-unknown",
            )


class PlatformGuard(Guard):
    """For Azure, which checks a request before it comes here.

    Args:
        signed_in: whether App Service authentication has people sign in. It says who asks in a
            header, which it takes out of what comes from outside; `Settings` made sure that it is
            switched on. Else the Functions host has checked the function key.
    """

    scheme = APIKeyHeader(name="x-functions-key", auto_error=False)

    def __init__(self, *, signed_in: bool) -> None:
        self._signed_in = signed_in

    def admit(self, headers: Headers) -> None:
        if self._signed_in and not headers.get("x-ms-client-principal-id"):
            raise _not_signed_in("Sign in with Microsoft Entra ID")


def _same_site(headers: Headers) -> None:
    """Refuses what a browser sends on behalf of a page of another site.

    Browsers say so in Sec-Fetch-Site, which no page can set, and older ones in Origin. Whatever
    sends neither is no browser.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        origin = headers.get("origin")
        foreign = origin is not None and not _same_host(origin, headers.get("host", ""))
    if foreign:
        raise ConfigError(
            "a page of another site may change nothing here",
            fix="Use this service's own page, or a program",
            code="cross-site",
        )


def _same_host(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc.casefold() == host.casefold()
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, colon, port = host.casefold().rpartition(":")
    return name if colon and port.isdecimal() else host.casefold()


def _not_signed_in(fix: str) -> ConfigError:
    return ConfigError("no valid credentials were sent", fix=fix, code="not-signed-in")

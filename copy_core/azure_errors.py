"""What the errors of Azure's storage services and of Entra ID mean, whoever meets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

# Of each way to sign in, azure-identity says on a line why it failed, or that it is not set up.
_WAY = re.compile(r"\t(\w+Credential: .*)")
_NOT_SET_UP = re.compile(r"unavailable|not found on path|not installed|could not be found|requires")
_SAID_WHY = re.compile(r"\berror:|No identity has been assigned", re.IGNORECASE)
# The endpoint of managed identities is busy, or begins anew; or urllib3 reached nobody.
_PASSES = re.compile(
    r"Token request error: \(\w+\) (?:429|5\d\d)\b"
    r"|Failed to (?:establish|resolve)|Unable to connect to proxy|timed out|Connection aborted"
)


def status_of(error: AzureError) -> int | None:
    """The HTTP status of an answer; None when there was no answer."""
    return error.status_code if isinstance(error, HttpResponseError) else None


def classed(error: AzureError, service: str, role: str, code: str) -> CopyJobError:
    """An error by what may be done about it, conflicts apart: those the caller must tell.

    Args:
        error: what the SDK raised.
        service: who answered, such as `Azure Blob Storage`.
        role: the role that an identity needs there.
        code: what the codes of the errors begin with.
    """
    status = status_of(error)
    if isinstance(error, ClientAuthenticationError) and status is None:
        return no_sign_in(error)
    said = str(error.message).partition("\n")[0]
    if status in (401, 403):
        return ConfigError(
            f"{service} refuses access: {said}",
            fix=f"Give the identity the role {role} on the account,"
            " or correct the connection string; check the account's firewall",
            code=f"{code}-access",
        )
    if status is None or status in (408, 429) or status >= 500 or "BeingDeleted" in str(error):
        return TransientError(
            f"{service} does not answer: {said}",
            fix="If it goes on, check the account's name, the network and the service's health",
            code=f"{code}-unreachable",
            retry_after=retry_after(error),
        )
    return TerminalError(f"{service} refuses a request: {said}", code=f"{code}-refused")


def no_sign_in(error: ClientAuthenticationError, what: str = "there is no sign-in") -> CopyJobError:
    """The error for who has no token, or a key that cannot sign: of all the ways to a token that
    were tried, it tells those that are set up.

    Args:
        error: what azure-identity raised, or the SDK before it asked anybody.
        what: what happened.
    """
    said = str(error.message)
    ways = _WAY.findall(said)
    failed = [way for way in ways if _SAID_WHY.search(way) or not _NOT_SET_UP.search(way)]
    why = "; ".join(failed) or said.partition("\n")[0]
    if ways and not failed:
        why = "no way of signing in is set up"
    if _PASSES.search(why):
        return TransientError(
            f"{what} now: {why}",
            fix="If it goes on, check the network and the managed identity of the app",
            code="unreachable",
        )
    return ConfigError(
        f"{what}: {why}",
        fix="Check the identity or key that the connection or AZURE_CLIENT_ID names, give the app"
        " a managed identity, or sign in with `az login`",
        code="login-failed",
    )


def retry_after(error: AzureError) -> float | None:
    """Seconds that the service asked to wait for, which it gives as a number or as a time."""
    response = error.response if isinstance(error, HttpResponseError) else None
    headers: Mapping[str, str] = getattr(response, "headers", {})
    asked = headers.get("Retry-After")
    if not asked:
        return None
    try:
        if asked.isdigit():
            return float(asked)
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None

"""What the errors of Azure's storage services mean, whichever of them answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError


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
    said = str(error.message).partition("\n")[0]
    if isinstance(error, ClientAuthenticationError) or status in (401, 403):
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

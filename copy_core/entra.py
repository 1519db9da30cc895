"""Signing in with Entra ID: the credential of each identity, kept for the process; its tokens."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from copy_core.errors import ConfigError, TransientError
from copy_core.secrets import remember

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

SignIn = Literal["default", "managed_identity", "service_principal"]

STORAGE: Final = "https://storage.azure.com/.default"
"""What a token for storage is asked for, in every cloud of Azure, and for OneLake."""

# With one of these, AZURE_CLIENT_ID names the application that signs in by it.
_OF_AN_APPLICATION = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
_RENEW_S = 300
# Some credentials hold no tokens: each look of AzureCliCredential starts a process.
_tokens: WeakKeyDictionary[TokenCredential, dict[str, AccessToken]] = WeakKeyDictionary()


def own() -> TokenCredential:
    """Who this process is: by the environment, the managed identity or the developer's own login.

    State, jobs and every connection that names nobody share it, and its tokens.
    """
    return identity("default", None, None, None)


@cache
def identity(
    sign_in: SignIn, client_id: str | None, tenant_id: str | None, client_secret: str | None
) -> TokenCredential:
    """The credential of an identity. It holds tokens, and renews them in time.

    Args:
        sign_in: how it signs in: `default` is by the environment, the managed identity or the
            developer's own login.
        client_id: the application, or a user-assigned managed identity; by default the one that
            AZURE_CLIENT_ID names, unless that is an application; else the system-assigned one.
        tenant_id: the tenant of a service principal.
        client_secret: its secret.

    Raises:
        ConfigError: AZURE_TOKEN_CREDENTIALS names no way of signing in.
    """
    from azure import identity

    if sign_in == "service_principal":
        # The options hold all three, or they would not be.
        return identity.ClientSecretCredential(
            tenant_id or "", client_id or "", client_secret or ""
        )
    # Where it is given None, azure-identity looks for no AZURE_CLIENT_ID by itself.
    if not any(map(os.environ.get, _OF_AN_APPLICATION)):
        client_id = client_id or os.environ.get("AZURE_CLIENT_ID") or None
    if sign_in == "managed_identity":
        return identity.ManagedIdentityCredential(client_id=client_id)
    try:
        return identity.DefaultAzureCredential(managed_identity_client_id=client_id)
    except ValueError as e:
        raise ConfigError(
            f"nobody can sign in: {e}",
            fix="Set AZURE_TOKEN_CREDENTIALS to prod, dev or a credential's name, or remove it",
            code="login-failed",
        ) from e


def token(credential: TokenCredential, scope: str) -> str:
    """A token, valid for some minutes at least.

    Raises:
        ConfigError: Entra ID gives none.
        TransientError: Entra ID does not answer, or the endpoint of managed identities is busy.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    from copy_core.azure_errors import no_sign_in

    try:
        held = _tokens.setdefault(credential, {})
        if scope not in held or held[scope].expires_on < time.time() + _RENEW_S:
            held[scope] = credential.get_token(scope)
        given = held[scope].token
    except ClientAuthenticationError as e:
        raise no_sign_in(e, f"Entra ID gives no token for {scope}") from e
    except AzureError as e:
        raise TransientError(
            f"Entra ID does not answer: {str(e.message).partition(chr(10))[0]}",
            fix="If it goes on, check the network",
            code="unreachable",
        ) from e
    remember(given)
    return given

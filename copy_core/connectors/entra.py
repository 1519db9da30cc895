"""Signing in with Entra ID: the credential of each identity, kept for the process; its tokens."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from copy_core.errors import ConfigError, TransientError
from copy_core.secrets import remember

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

SignIn = Literal["default", "managed_identity", "service_principal"]

STORAGE: Final = "https://storage.azure.com/.default"
"""What a token for storage is asked for, in every cloud of Azure, and for OneLake."""


@cache
def identity(
    sign_in: SignIn, client_id: str | None, tenant_id: str | None, client_secret: str | None
) -> TokenCredential:
    """The credential of an identity. It holds tokens, and renews them in time.

    Args:
        sign_in: how it signs in: `default` is by the environment, the managed identity or the
            developer's own login.
        client_id: the application, or a user-assigned managed identity.
        tenant_id: the tenant of a service principal.
        client_secret: its secret.
    """
    from azure import identity

    if sign_in == "managed_identity":
        return identity.ManagedIdentityCredential(client_id=client_id)
    if sign_in == "service_principal":
        # The options hold all three, or they would not be.
        return identity.ClientSecretCredential(
            tenant_id or "", client_id or "", client_secret or ""
        )
    return identity.DefaultAzureCredential(managed_identity_client_id=client_id)


def token(credential: TokenCredential, scope: str) -> str:
    """A token, valid for some minutes at least.

    Raises:
        ConfigError: Entra ID gives none.
        TransientError: Entra ID does not answer.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    try:
        given = credential.get_token(scope).token
    except ClientAuthenticationError as e:
        raise ConfigError(
            f"Entra ID gives no token for {scope}: {str(e.message).partition(chr(10))[0]}",
            fix="Check the identity that the connection names, give the app a managed identity, or"
            " sign in with `az login`",
            code="login-failed",
        ) from e
    except AzureError as e:
        raise TransientError(
            f"Entra ID does not answer: {str(e.message).partition(chr(10))[0]}",
            fix="If it goes on, check the network",
            code="unreachable",
        ) from e
    remember(given)
    return given

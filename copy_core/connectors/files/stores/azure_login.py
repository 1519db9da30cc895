"""The way into a container: how to sign in, and the connections that all its threads share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import requests
from azure.core.credentials import AzureSasCredential, TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    BlobSasPermissions,
    ContainerClient,
    ExponentialRetry,
    generate_blob_sas,
)
from requests.adapters import HTTPAdapter

from copy_core import entra
from copy_core.errors import ConfigError
from copy_core.secrets import remember

if TYPE_CHECKING:
    from copy_core.connectors.file_options import AzureStorageOptions

_ENTRA = ("default", "managed_identity", "service_principal")
_THREADS = 64
_READ_AT_ONCE = 1 << 20
# Of no use here: whoever calls has cut an object into the pieces that travel.
_NEVER_SPLIT = 1 << 40


class Login:
    """How a connection signs in.

    Args:
        options: the connection, secrets resolved.

    Attributes:
        account_url: the address of the account's Blob service.
    """

    def __init__(self, options: AzureStorageOptions) -> None:
        self._options = options
        self.account_url = options.account_url.rstrip("/").replace(".dfs.", ".blob.", 1)
        self._sas = (options.sas or "").lstrip("?")
        for signature in parse_qs(self._sas).get("sig", ()):
            remember(signature)

    def container(self, version: str | None) -> ContainerClient:
        """The container. The SDK bridges a short fault; the flow repeats steps by its own rules.

        Args:
            version: the version of the service to speak; None is the SDK's newest.

        Raises:
            ConfigError: the account's name, which a key needs, is not in its address.
        """
        options = self._options
        credential: str | AzureSasCredential | TokenCredential | None = None
        if options.sign_in in _ENTRA:
            credential = self._identity()
        elif options.sign_in == "account_key":
            credential = options.account_key
        elif options.sign_in == "sas":
            credential = AzureSasCredential(self._sas)
        try:
            return ContainerClient(
                self.account_url,
                options.container,
                credential=credential,
                transport=_transport(),
                retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
                max_single_put_size=_NEVER_SPLIT,
                max_single_get_size=_NEVER_SPLIT,
                api_version=version,
            )
        except ValueError as e:
            raise ConfigError(
                f"the account cannot be used: {e}",
                fix="Write `account_url` as https://ACCOUNT.blob.core.windows.net",
                code="login-failed",
            ) from e

    def readable(self, client: ContainerClient, name: str, seconds: int) -> str | None:
        """An address at which anybody may read a blob for a while; None where Entra ID signs in,
        whose `token` has to go with the plain address.
        """
        url = client.get_blob_client(name).url
        if self._options.sign_in == "sas":
            return f"{url}?{self._sas}"
        if self._options.sign_in == "account_key":
            signature = generate_blob_sas(
                client.account_name or "",
                client.container_name,
                name,
                account_key=self._options.account_key,
                permission=BlobSasPermissions(read=True),
                expiry=datetime.now(UTC) + timedelta(seconds=seconds),
            )
            return f"{url}?{signature}"
        return None if self._options.sign_in in _ENTRA else url

    def token(self) -> str | None:
        """A token of Entra ID; None where the connection signs in without.

        Raises:
            ConfigError: Entra ID gives none.
            TransientError: Entra ID does not answer.
        """
        if self._options.sign_in not in _ENTRA:
            return None
        return entra.token(self._identity(), entra.STORAGE)

    def _identity(self) -> TokenCredential:
        options, sign_in = self._options, self._options.sign_in
        return entra.identity(sign_in, options.client_id, options.tenant_id, options.client_secret)


@cache
def _transport() -> RequestsTransport:
    """Connections for every thread, shared by all stores: the SDK's own session keeps ten."""
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=_THREADS))
    session.mount("http://", HTTPAdapter(pool_maxsize=_THREADS))
    return RequestsTransport(
        session=session,
        session_owner=False,
        connection_timeout=10,
        read_timeout=60,
        connection_data_block_size=_READ_AT_ONCE,
    )

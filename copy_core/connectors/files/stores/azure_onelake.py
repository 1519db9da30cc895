"""Objects in the `Files` part of a lakehouse: OneLake is a Blob service with a hierarchy.

What it does otherwise than Blob Storage:
https://learn.microsoft.com/fabric/onelake/onelake-api-parity. It has neither tags nor account keys,
nobody may ask about the account, and a batch of deletes names no lakehouse and is refused
(https://github.com/apache/arrow-rs-object-store/issues/701).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors import onelake
from copy_core.connectors.file_options import AzureStorageOptions
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores import azure_remove
from copy_core.connectors.files.stores.azure import AzureStore
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

    from copy_core.connectors.lakehouse_options import FabricLakehouseFilesOptions


class OneLakeStore(AzureStore):
    """The files of a lakehouse below a prefix.

    Args:
        options: the connection, secrets resolved.
    """

    version = onelake.VERSION
    take_away = staticmethod(azure_remove.singly)

    def __init__(self, options: FabricLakehouseFilesOptions) -> None:
        prefix = options.prefix.strip("/")
        super().__init__(
            # Not checked again: the secret has been put in the place of its reference.
            AzureStorageOptions.model_construct(
                type="adls_gen2",
                account_url=onelake.BLOBS,
                container=options.workspace,
                prefix=f"{onelake.item(options)}/Files/{prefix}".rstrip("/"),
                auth=options.auth,
                client_id=options.client_id,
                tenant_id=options.tenant_id,
                client_secret=options.client_secret,
            )
        )
        self._is_deep = True

    def _entry(self, found: BlobProperties) -> Entry:
        if not str(found.name).startswith(self._root):
            raise ConfigError(
                f"OneLake lists '{found.name}' where the connection asks for '{self._root}'",
                fix="Write `workspace` and `lakehouse` just as the portal does, or give their ids",
                code="bad-name",
            )
        return super()._entry(found)

"""Delta tables in Azure storage whose connection names no key: signed in with Entra ID.

delta-rs 1.6 would look for a managed identity where virtual machines have theirs, whatever
IDENTITY_ENDPOINT says: on Azure Functions nobody answers there. So it is given a token here, by the
same identity that all connections have; one that runs out in mid-step is a passing fault, and the
step is tried again.
"""

from __future__ import annotations

import os
import re
from typing import Final

from copy_core import entra
from copy_core.connectors.delta.storage import Lake

SCHEMES: Final = ("az://", "azure://", "adl://", "abfs://", "abfss://")
"""What the roots of such tables begin with."""

# Storage options with which delta-rs signs in by itself; a client id alone is no such.
_SIGNS_IN = re.compile(
    r"key|sas|token|secret|emulator|azure_cli|skip_signature|msi|identity|object_id", re.IGNORECASE
)
# It finds these by itself as well, and renews what runs out:
# https://docs.rs/object_store/latest/object_store/azure/enum.AzureConfigKey.html
_IN_ENVIRONMENT = (
    *(f"AZURE_STORAGE_{name}" for name in (
        "ACCOUNT_KEY", "ACCESS_KEY", "MASTER_KEY", "SAS_KEY", "SAS_TOKEN", "TOKEN", "CLIENT_SECRET",
    )),
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
)  # fmt: skip


class AzureLake(Lake):
    """Tables of an Azure storage account."""

    @property
    def storage(self) -> dict[str, str] | None:
        given = dict(self._storage)
        if any(map(_SIGNS_IN.search, given)) or _signs_in_by_environment():
            return given or None
        named = {name.lower().removeprefix("azure_"): value for name, value in given.items()}
        client = named.get("client_id")
        credential = (
            entra.identity("managed_identity", client, None, None) if client else entra.own()
        )
        return given | {"bearer_token": entra.token(credential, entra.STORAGE)}


def _signs_in_by_environment() -> bool:
    emulated = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("true", "1")
    return emulated or any(map(os.environ.get, _IN_ENVIRONMENT))

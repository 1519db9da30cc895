"""The tables of a Fabric lakehouse: where they are in OneLake, and how to sign in there.

delta-rs 1.6 deletes files in batches, which OneLake refuses
(https://github.com/delta-io/delta-rs/issues/4401): so they are deleted here, one by one, and old
logs are left to Spark.

The address is https://learn.microsoft.com/fabric/onelake/onelake-access-api's, the storage options
are delta-rs'. A token lives for about an hour, and each step opens its tables with a fresh one; one
that runs out in mid-step is a passing fault, and the step is tried again.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import requests
from deltalake import PostCommitHookProperties
from deltalake.fs import DeltaStorageHandler

from copy_core import entra
from copy_core.connectors import onelake
from copy_core.connectors.delta.azure import SCHEMES, AzureLake
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.delta_options import DeltaOptions, FabricLakehouseOptions
from copy_core.errors import ConfigError

_HOST = "@onelake.dfs.fabric.microsoft.com"
_SECONDS = 60
_SCHEMA = "dbo"
# What Fabric itself makes tables of, see https://learn.microsoft.com/fabric/data-engineering/load-to-tables,
# no longer than names of T-SQL may be.
_TABLE = re.compile(r"[A-Za-z0-9_]{1,128}")


class OneLake(Lake):
    """The tables of a lakehouse. With schemas they are called `schema.table`, or `table` for one
    in `dbo`.
    """

    hooks = PostCommitHookProperties(cleanup_expired_logs=False)

    def __init__(self, options: FabricLakehouseOptions) -> None:
        super().__init__(root(options), {})
        self._options = options

    @property
    def storage(self) -> dict[str, str]:
        options = self._options
        credential = entra.identity(
            options.auth, options.client_id, options.tenant_id, options.client_secret
        )
        return {
            "use_fabric_endpoint": "true",
            "bearer_token": entra.token(credential, entra.STORAGE),
        }

    def handler(self, uri: str, sizes: dict[str, int] | None = None) -> DeltaStorageHandler:
        storage = self.storage
        below = uri.partition(_HOST)[2]
        return _Files(uri, storage, sizes, f"{onelake.BLOBS}/{self._options.workspace}{below}")

    def path(self, name: str) -> str:
        if "/" in name:
            raise self._unnamed(name)
        if not self._options.schemas:
            return name
        schema, dot, table = name.partition(".")
        return f"{schema}/{table}" if dot else f"{_SCHEMA}/{name}"

    def name(self, path: str) -> str | None:
        steps = path.split("/")
        return ".".join(steps) if len(steps) == 1 + self._options.schemas else None

    def check_writable(self, name: str) -> None:
        if not all(_TABLE.fullmatch(step) for step in self.path(name).split("/")):
            raise self._unnamed(name)

    def _unnamed(self, name: str) -> ConfigError:
        form = "schema.table or table" if self._options.schemas else "table"
        return ConfigError(
            f"'{name}' is no name of a table in this lakehouse",
            fix=f"Set `destination` of the table to {form}, of English letters, digits and"
            " underscores alone; `schemas` of the connection says whether there are schemas",
            code="bad-name",
            table=name,
        )


class _Files(DeltaStorageHandler):
    """Files as delta-rs handles them, except that they are deleted one by one.

    Args:
        uri: the address of their folder, for delta-rs.
        storage: its storage options.
        sizes: sizes of files that are known.
        folder: the address of their folder in OneLake's Blob API.
    """

    def __init__(
        self, uri: str, storage: dict[str, str], sizes: dict[str, int] | None, folder: str
    ) -> None:
        super().__init__(uri, storage, sizes)
        self._folder, self._token = folder, storage["bearer_token"]

    def delete_file(self, path: str) -> None:
        """Deletes a file; one that is not there is no error."""
        headers = {"Authorization": f"Bearer {self._token}", "x-ms-version": onelake.VERSION}
        try:
            answer = requests.delete(
                f"{self._folder}/{quote(path)}", headers=headers, timeout=_SECONDS
            )
        except requests.RequestException as e:
            raise OSError(f"error sending request: {e}") from e
        if not answer.ok and answer.status_code != requests.codes.not_found:
            # Worded as delta-rs does, for who reads it.
            raise OSError(f"the delete had status {answer.status_code}: {answer.text}")


def root(options: FabricLakehouseOptions) -> str:
    """The address above the tables of a lakehouse.

    Raises:
        ConfigError: its names cannot be part of one.
    """
    return f"abfss://{options.workspace}{_HOST}/{onelake.item(options)}/Tables"


def lake_of(options: DeltaOptions | FabricLakehouseOptions) -> Lake:
    """The tables of a connection, secrets resolved."""
    if isinstance(options, FabricLakehouseOptions):
        return OneLake(options)
    where = AzureLake if options.root.startswith(SCHEMES) else Lake
    return where(options.root, options.storage)

"""What a connection names: the SQL endpoint, and the place where rows wait. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copy_core.connectors.file_options import AzureStorageOptions
from copy_core.connectors.lakehouse_options import FabricLakehouseFilesOptions
from copy_core.connectors.options import MssqlOptions
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.warehouse_options import FabricWarehouseOptions, StagingOptions


def endpoint(options: FabricWarehouseOptions) -> MssqlOptions:
    """The SQL endpoint, which speaks TDS as Azure SQL does, and signs in likewise.

    Args:
        options: the connection, secrets resolved.
    """
    # Not validated again: its secrets are no references any more.
    return MssqlOptions.model_construct(
        type="azure_sql",
        server=options.server,
        database=options.database,
        auth=options.auth,
        client_id=options.client_id,
        tenant_id=options.tenant_id,
        client_secret=options.client_secret,
    )


def staging(options: FabricWarehouseOptions) -> StagingOptions:
    """Where rows wait.

    Raises:
        ConfigError: the connection does not say.
    """
    if options.staging is None:
        raise ConfigError(
            "the connection does not say where rows wait for the Warehouse to load them",
            fix="Give it `staging` with `account_url` and `container` of Azure storage, or"
            " `workspace` and `lakehouse`",
            code="staging-missing",
        )
    return options.staging


def storage(
    options: FabricWarehouseOptions,
) -> AzureStorageOptions | FabricLakehouseFilesOptions:
    """The place where rows wait, as the store takes it. Who signs in to the Warehouse signs in
    there, unless a key or a signature is given.

    Raises:
        ConfigError: the connection does not say.
    """
    place = staging(options)
    identity: dict[str, Any] = {
        "client_id": options.client_id,
        "tenant_id": options.tenant_id,
        "client_secret": options.client_secret,
    }
    if place.account_url is None:
        return FabricLakehouseFilesOptions.model_construct(
            type="fabric_lakehouse_files",
            workspace=place.workspace,
            lakehouse=place.lakehouse,
            prefix=place.prefix,
            auth=options.auth,
            **identity,
        )
    secret = "account_key" if place.account_key else "sas" if place.sas else None
    return AzureStorageOptions.model_construct(
        type="adls_gen2" if ".dfs." in place.account_url else "azure_blob",
        account_url=place.account_url,
        container=place.container,
        prefix=place.prefix,
        auth=secret or options.auth,
        account_key=place.account_key,
        sas=place.sas,
        **identity,
    )

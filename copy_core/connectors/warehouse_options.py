"""What a connection to a Fabric Warehouse may say. Plain data: no vendor SDK is imported."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from copy_core.connectors.entra_options import EntraOptions
from copy_core.connectors.option_types import secret_by_reference
from copy_core.job import Definition, Name
from copy_core.secrets import references

# COPY INTO takes * for a pattern, and what a URL would have to encode two ways.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]*")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class StagingOptions(Definition):
    """Where rows wait, as Parquet, for the Warehouse to load them: in a storage account, or in a
    lakehouse. Whoever signs in to the Warehouse reads and writes there, unless a key or signature
    is given.
    """

    account_url: Name | None = None
    """The address of a storage account, such as `https://ACCOUNT.blob.core.windows.net`, or of
    ADLS Gen2 `https://ACCOUNT.dfs.core.windows.net`."""
    container: Name | None = None
    """The container."""
    workspace: Name | None = None
    """The id of a workspace, for a lakehouse in it."""
    lakehouse: Name | None = None
    """The id of the lakehouse; files wait in its `Files`."""
    prefix: str = ""
    """The path there below which the files are."""
    account_key: str | None = None
    """The account's key: `${env:NAME}`."""
    sas: str | None = None
    """A shared access signature of the container: `${env:NAME}`."""
    file_mb: Annotated[int, Field(ge=1, le=1024)] = 448
    """How large a file may grow, in megabytes (2**20 bytes), about; the Warehouse loads files of
    100 to 1024 fastest."""

    @field_validator("account_key", "sas")
    @classmethod
    def _secret(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @field_validator("account_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if "?" in url:
            raise ValueError("holds a signature: give it in `sas`, as ${env:NAME}")
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost", "${")):
            raise ValueError("is no address: write https://ACCOUNT.blob.core.windows.net")
        return url.rstrip("/")

    @field_validator("workspace", "lakehouse")
    @classmethod
    def _identified(cls, name: str | None) -> str | None:
        # https://learn.microsoft.com/sql/t-sql/statements/copy-into-transact-sql?view=fabric
        if name and not references(name) and not _ID.fullmatch(name):
            raise ValueError("is no id, and COPY INTO knows lakehouses by their ids only")
        return name

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        if not references(prefix) and not _PLAIN_PATH.fullmatch(prefix):
            raise ValueError("has a character other than letters, digits, dot, dash, _ and /")
        return prefix.strip("/")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.account_key and self.sas:
            raise ValueError("account_key and sas exclude each other")
        account, lake = (self.account_url, self.container), (self.workspace, self.lakehouse)
        if all(account) == all(lake) or any(account) == any(lake):
            raise ValueError("needs account_url and container, or else workspace and lakehouse")
        if all(lake) and (self.account_key or self.sas):
            raise ValueError("OneLake takes neither account_key nor sas: leave them out")
        return self


class FabricWarehouseOptions(EntraOptions):
    """A Warehouse of Microsoft Fabric, or the SQL analytics endpoint of a Lakehouse, to read."""

    type: Literal["fabric_warehouse"]
    server: Name
    """The host of its SQL connection string, such as `abc.datawarehouse.fabric.microsoft.com`."""
    database: Name
    """The Warehouse's name."""
    staging: StagingOptions | None = None
    """Where rows wait to be loaded; only writing needs it."""

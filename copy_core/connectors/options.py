"""What a connection of each type may say. Plain data: no vendor SDK is imported to check it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from copy_core.connectors.delta_options import DeltaOptions, FabricLakehouseOptions
from copy_core.connectors.file_options import (
    AzureStorageOptions,
    CsvOptions,
    FileOptions,
    LocalOptions,
    S3Options,
)
from copy_core.connectors.lakehouse_options import FabricLakehouseFilesOptions
from copy_core.connectors.option_types import LocalPath, secret_by_reference
from copy_core.connectors.warehouse_options import FabricWarehouseOptions
from copy_core.job import Definition, Name

__all__ = [
    "AzureStorageOptions",
    "Connection",
    "CsvOptions",
    "DeltaOptions",
    "FabricLakehouseFilesOptions",
    "FabricLakehouseOptions",
    "FabricWarehouseOptions",
    "FileOptions",
    "LocalOptions",
    "MemoryOptions",
    "MssqlOptions",
    "S3Options",
    "SqliteOptions",
]


class MemoryOptions(Definition):
    """Tables in this process' memory, for tests and trials."""

    type: Literal["memory"]
    name: Name = "default"
    """Which of the process' stores."""


class SqliteOptions(Definition):
    """A SQLite database file."""

    type: Literal["sqlite"]
    path: LocalPath
    """The database file; a relative path is meant from the folder of this file."""


SignIn = Literal["default", "sql", "managed_identity", "service_principal", "kerberos"]


class MssqlOptions(Definition):
    """A database of SQL Server, Azure SQL Database, Azure SQL Managed Instance or RDS."""

    type: Literal["sql_server", "azure_sql", "azure_sql_mi", "rds_sql_server"]
    """Which service runs it."""
    server: Name
    """Host name, with `,PORT` or `\\INSTANCE` after it where the port is not 1433."""
    database: Name
    """The database."""
    auth: SignIn | None = None
    """How to sign in: `sql` where a user is given; else `default`, which is Entra ID by the
    environment, the managed identity or the developer's own login, and `kerberos` where the server
    is no Azure service."""
    user: str | None = None
    """The SQL login."""
    password: str | None = None
    """Its password: `${env:NAME}`."""
    client_id: str | None = None
    """The application of a service principal, or a user-assigned managed identity."""
    tenant_id: str | None = None
    """The tenant of a service principal."""
    client_secret: str | None = None
    """The secret of a service principal: `${env:NAME}`."""
    encrypt: Literal["yes", "strict", "no"] = "yes"
    """`yes` encrypts and verifies the server's certificate, `strict` also the login (TDS 8)."""
    trust_server_certificate: bool = False
    """Whether a certificate that nobody vouches for will do."""
    ca_file: LocalPath | None = None
    """A file of certificates (PEM) to trust as well, such as the bundle of RDS."""
    read_only: bool = False
    """Whether to read from a secondary replica (ApplicationIntent=ReadOnly)."""
    seventh_digit: Literal["fail", "drop", "text"] = "fail"
    """What becomes of a time finer than microseconds: `fail` says so, `drop` leaves its last digit
    away, `text` copies columns that may hold such times as ISO 8601 text."""

    @property
    def sign_in(self) -> SignIn:
        """How to sign in, where `auth` leaves it open too."""
        if self.auth:
            return self.auth
        if self.user:
            return "sql"
        return "default" if self.type in ("azure_sql", "azure_sql_mi") else "kerberos"

    @field_validator("password", "client_secret")
    @classmethod
    def _secret_by_reference(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for wrong, why in self._misfits():
            if wrong:
                raise ValueError(why)
        return self

    def _misfits(self) -> list[tuple[bool, str]]:
        sign_in, named = self.sign_in, {name for name in _OF_SIGN_IN if getattr(self, name)}
        needed, allowed = _SIGN_INS[sign_in]
        spare = ", ".join(sorted(named - needed - allowed))
        return [
            (
                not self.auth and bool(named & {"tenant_id", "client_secret"}),
                "tenant_id and client_secret are for `auth: service_principal`",
            ),
            (bool(spare), f"{spare} has no use with `auth: {sign_in}`: leave it out"),
            (
                not needed <= named,
                f"`auth: {sign_in}` needs {' and '.join(sorted(needed - named))}",
            ),
            (
                self.type == "azure_sql" and sign_in == "kerberos",
                "Azure SQL Database knows no Kerberos: use another `auth`",
            ),
            (
                self.type == "rds_sql_server" and sign_in not in ("sql", "kerberos"),
                "RDS knows no Entra ID: use `auth: sql` or `kerberos`",
            ),
            (
                self.trust_server_certificate and self.encrypt == "strict",
                "`encrypt: strict` always verifies: leave trust_server_certificate out",
            ),
            (
                self.ca_file is not None
                and (self.trust_server_certificate or self.encrypt == "no"),
                "ca_file has no use where no certificate is verified",
            ),
        ]


# What each way to sign in needs, and what it may be given besides.
_OF_SIGN_IN = ("user", "password", "client_id", "tenant_id", "client_secret")
_SIGN_INS: dict[SignIn, tuple[set[str], set[str]]] = {
    "sql": ({"user", "password"}, set()),
    "kerberos": (set(), set()),
    "default": (set(), {"client_id"}),
    "managed_identity": (set(), {"client_id"}),
    "service_principal": ({"tenant_id", "client_id", "client_secret"}, set()),
}


Connection = Annotated[
    MemoryOptions
    | SqliteOptions
    | LocalOptions
    | S3Options
    | AzureStorageOptions
    | FabricLakehouseFilesOptions
    | DeltaOptions
    | FabricLakehouseOptions
    | FabricWarehouseOptions
    | MssqlOptions,
    Field(discriminator="type"),
]
"""A connection of any type."""

"""What connections to lakehouses may say. Plain data: no vendor SDK is imported to check it."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import field_validator, model_validator

from copy_core.connectors.option_types import LocalPath, secret_by_reference
from copy_core.job import Definition, Name
from copy_core.secrets import references

_SENSITIVE = re.compile(r"key|secret|token|password|pwd|sas|credential", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# delta-rs passes no other characters of a workspace's name on as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class DeltaOptions(Definition):
    """Delta tables below a folder or object store path: a lakehouse."""

    type: Literal["delta"]
    root: LocalPath
    """The folder or URL above the tables: `./lake`, `az://container/path`, `s3://bucket/path`."""
    storage: dict[Name, str] = {}
    """Storage options of delta-rs, such as `account_name`; secrets only as `${env:NAME}`."""

    @field_validator("root")
    @classmethod
    def _no_signature(cls, root: str) -> str:
        if "sig=" in root:
            raise ValueError("holds a signature: give it in `storage`, as ${env:NAME}")
        return root

    @field_validator("storage")
    @classmethod
    def _secrets_by_reference(cls, storage: dict[str, str]) -> dict[str, str]:
        for name, value in storage.items():
            if _SENSITIVE.search(name) and value and not references(value):
                raise ValueError(f"{name} looks like a secret: write ${{env:NAME}} instead of it")
        return storage


class FabricLakehouseOptions(Definition):
    """The tables of a lakehouse of Microsoft Fabric, in OneLake."""

    type: Literal["fabric_lakehouse"]
    workspace: Name
    """The workspace's name, or its id."""
    lakehouse: Name
    """The lakehouse's name, or its id where `workspace` is an id."""
    schemas: bool
    """Whether the lakehouse has schemas: a table is then `schema.table`, or in `dbo`."""
    names: Literal["refuse", "replace"] = "refuse"
    """What becomes of column names that Fabric's SQL endpoint does not show: `replace` puts `_` in
    the place of each character that it does not take."""
    auth: Literal["default", "managed_identity", "service_principal"] = "default"
    """How to sign in with Entra ID: `default` is by the environment, the managed identity or the
    developer's own login."""
    client_id: str | None = None
    """The application of a service principal, or a user-assigned managed identity."""
    tenant_id: str | None = None
    """The tenant of a service principal."""
    client_secret: str | None = None
    """The secret of a service principal: `${env:NAME}`."""

    @field_validator("client_secret")
    @classmethod
    def _secret(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not (references(self.workspace) or references(self.lakehouse)):
            lakehouse_path(self)
        named = {name for name in _OF_SIGN_IN if getattr(self, name)}
        if self.auth == "service_principal":
            if missing := " and ".join(name for name in _OF_SIGN_IN if name not in named):
                raise ValueError(f"`auth: service_principal` needs {missing}")
        elif spare := ", ".join(sorted(named - {"client_id"})):
            raise ValueError(f"{spare} has no use with `auth: {self.auth}`: leave it out")
        return self


_OF_SIGN_IN = ("tenant_id", "client_id", "client_secret")


def lakehouse_path(options: FabricLakehouseOptions) -> str:
    """The lakehouse as a path begins with it in its workspace: by name and type, or by id.

    Raises:
        ValueError: the names cannot be part of an address of OneLake.
    """
    by_id = [bool(_GUID.fullmatch(name)) for name in (options.workspace, options.lakehouse)]
    if any(by_id) != all(by_id):
        raise ValueError("workspace and lakehouse must both be names, or both ids")
    if all(by_id):
        return options.lakehouse
    item = options.lakehouse.removesuffix(".Lakehouse")
    for name in (options.workspace, item):
        if not _PLAIN.fullmatch(name):
            raise ValueError(
                f"the name '{name}' has characters that an address cannot hold: give the ids of"
                " workspace and lakehouse instead, which the address of the lakehouse in the"
                " portal shows"
            )
    return f"{item}.Lakehouse"

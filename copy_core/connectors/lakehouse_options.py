"""What connections to a lakehouse of Microsoft Fabric say, whichever part of it they lead to. Plain
data: no vendor SDK is imported to check it.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import field_validator, model_validator

from copy_core.connectors.file_options import FileOptions
from copy_core.connectors.option_types import secret_by_reference
from copy_core.job import Definition, Name
from copy_core.secrets import references

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# delta-rs passes no other characters of a workspace's name on as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class LakehouseOptions(Definition):
    """A lakehouse, and who signs in to OneLake."""

    workspace: Name
    """The workspace's name, or its id."""
    lakehouse: Name
    """The lakehouse's name, or its id where `workspace` is an id."""
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


class FabricLakehouseFilesOptions(LakehouseOptions, FileOptions):
    """Files in the `Files` part of a lakehouse of Microsoft Fabric, in OneLake."""

    type: Literal["fabric_lakehouse_files"]
    prefix: str = ""
    """The path below `Files` below which the files are."""


def lakehouse_path(options: LakehouseOptions) -> str:
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

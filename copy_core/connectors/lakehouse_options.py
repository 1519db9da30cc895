"""What connections to a lakehouse of Microsoft Fabric say, whichever part of it they lead to. Plain
data: no vendor SDK is imported to check it.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import model_validator

from copy_core.connectors.entra_options import EntraOptions
from copy_core.connectors.file_options import FileOptions
from copy_core.job import Name
from copy_core.secrets import references

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# delta-rs passes no other characters of a workspace's name on as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class LakehouseOptions(EntraOptions):
    """A lakehouse, and who signs in to OneLake."""

    workspace: Name
    """The workspace's name, or its id."""
    lakehouse: Name
    """The lakehouse's name, or its id where `workspace` is an id."""

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if not (references(self.workspace) or references(self.lakehouse)):
            lakehouse_path(self)
        return self


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

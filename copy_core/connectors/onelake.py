"""Where OneLake is, and a lakehouse in it: https://learn.microsoft.com/fabric/onelake/onelake-access-api."""

from __future__ import annotations

from copy_core.connectors.lakehouse_options import LakehouseOptions, lakehouse_path
from copy_core.errors import ConfigError

BLOBS = "https://onelake.blob.fabric.microsoft.com"
"""Its Blob service, where each workspace is a container."""
VERSION = "2023-11-03"
"""The version of the Blob service that is spoken: the one in which delta-rs is known to be
answered. OneLake does not say up to which version it keeps up."""


def item(options: LakehouseOptions) -> str:
    """The first step of every path in a lakehouse, secrets resolved.

    Raises:
        ConfigError: its names cannot be part of an address.
    """
    try:
        return lakehouse_path(options)
    except ValueError as e:
        raise ConfigError(
            str(e), fix="Correct `workspace` and `lakehouse` of the connection", code="bad-name"
        ) from None

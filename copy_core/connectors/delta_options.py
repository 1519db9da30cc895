"""What connections to lakehouses may say. Plain data: no vendor SDK is imported to check it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from copy_core.connectors.delta_table_options import TableOptions
from copy_core.connectors.lakehouse_options import LakehouseOptions
from copy_core.connectors.option_types import LocalPath
from copy_core.job import Name
from copy_core.secrets import references

_SENSITIVE = re.compile(r"key|secret|token|password|pwd|sas|credential", re.IGNORECASE)


class DeltaOptions(TableOptions):
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


class FabricLakehouseOptions(LakehouseOptions, TableOptions):
    """The tables of a lakehouse of Microsoft Fabric, in OneLake."""

    type: Literal["fabric_lakehouse"]
    schemas: bool
    """Whether the lakehouse has schemas: a table is then `schema.table`, or in `dbo`."""
    names: Literal["refuse", "replace"] = "refuse"
    """What becomes of column names that Fabric's SQL endpoint does not show: `replace` puts `_` in
    the place of each character that it does not take."""

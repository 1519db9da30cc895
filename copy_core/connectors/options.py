"""What a connection of each type may say. Plain data: no vendor SDK is imported to check it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from copy_core.job import Definition, Name
from copy_core.secrets import references

_SENSITIVE = re.compile(r"key|secret|token|password|pwd|sas|credential", re.IGNORECASE)


def _beside_file(path: str, info: ValidationInfo) -> str:
    """A relative path is meant from the folder of the file that says it."""
    base = (info.context or {}).get("base")
    if base is None or "://" in path or references(path):
        return path
    try:
        return str(Path(base, Path(path).expanduser()).resolve())
    except RuntimeError as e:  # a home that nobody has, a loop of links
        raise ValueError(f"{path} leads nowhere: {e}") from e


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_beside_file)]


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


class CsvOptions(Definition):
    """How CSV files are written down."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """One character between two values."""
    header: bool = True
    """Whether the first line names the columns; without it they are c0, c1, and so on."""
    null: str = ""
    """The unquoted text that stands for no value."""


class LocalOptions(Definition):
    """Files of rows in a folder of this machine."""

    type: Literal["local"]
    root: LocalPath
    """The folder; objects are named by paths below it."""
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    """The format of its files."""
    types: dict[Name, str] = {}
    """Types of columns of CSV and JSON lines, such as `decimal(10,2)`; the rest is inferred."""
    csv: CsvOptions = CsvOptions()
    """The CSV dialect."""


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


Connection = Annotated[
    MemoryOptions | SqliteOptions | LocalOptions | DeltaOptions, Field(discriminator="type")
]
"""A connection of any type."""

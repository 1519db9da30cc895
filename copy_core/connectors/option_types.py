"""Values that several connections' options share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from copy_core.secrets import references


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


def secret_by_reference(secret: str | None) -> str | None:
    """The secret, if it is a reference to one.

    Raises:
        ValueError: it is the secret itself.
    """
    if secret and not references(secret):
        raise ValueError("is a secret: write ${env:NAME} instead of it")
    return secret

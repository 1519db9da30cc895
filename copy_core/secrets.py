"""Secrets: only ever a reference in a file, a value in memory, and `***` anywhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

_OPENING = "${"
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
# What an app setting holds as long as Azure cannot follow its reference:
# https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
_UNRESOLVED = "@Microsoft.KeyVault("
_values: set[str] = set()

# A shorter value would blank out ordinary words of a message and protect nothing.
_SHORTEST = 4
# Signed addresses are made by the million, too many to remember: they are told by their form.
_SIGNATURE = re.compile(
    r"(?:\b|(?<=%26)|(?<=%3F))(sig|x-amz-(?:signature|credential|security-token))(=|%3D)"
    r"[^&\s\"'<>]+",
    re.IGNORECASE,
)


def references(text: str) -> list[str]:
    """The environment variables that `text` refers to by `${env:NAME}`, in order.

    Raises:
        ValueError: something that opens like a reference is none.
    """
    if _OPENING in _REFERENCE.sub("", text):
        raise ValueError("a reference is written ${env:NAME}, NAME being letters, digits and _")
    return _REFERENCE.findall(text)


def resolve(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Puts the values of `${env:NAME}` references into `text` and remembers them for `scrub`.

    Raises:
        ConfigError: a variable is not set, or Azure could not find in Key Vault what it refers to.
    """
    from copy_core.errors import ConfigError

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise ConfigError(
                f"the environment variable {name} is not set",
                fix=f"Set {name}; on Azure, make it an app setting that refers to Key Vault",
                code="secret-missing",
            )
        if environ[name].startswith(_UNRESOLVED):
            raise ConfigError(
                f"the app setting {name} refers to a secret of Key Vault that Azure did not find",
                fix="Set it in the vault, let the app's identity read it, and restart the app",
                code="secret-unresolved",
            )
        remember(environ[name])
        return environ[name]

    return _REFERENCE.sub(value, text)


def remember(value: str) -> None:
    """Makes `scrub` replace a value from now on, also as it looks within a URL."""
    if len(value) >= _SHORTEST:
        _values.update({value, quote(value, safe=""), quote_plus(value)})


def scrub(text: str) -> str:
    """`text` with `***` for every secret that was resolved in this process, and for the signatures
    of addresses.
    """
    for value in sorted(_values, key=len, reverse=True):
        text = text.replace(value, "***")
    return _SIGNATURE.sub(r"\1\2***", text)

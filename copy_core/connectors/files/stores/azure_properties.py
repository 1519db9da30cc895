"""What a blob keeps beside its bytes, as the SDK says it and as we do."""

from __future__ import annotations

import re
from base64 import b64encode
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, Final

from azure.storage.blob import BlobProperties, ContentSettings

from copy_core.connectors.files.store import Properties

FOLDER: Final = "hdi_isfolder"
"""The metadata that makes a blob a folder, in accounts with a hierarchical namespace."""

# An encoded word, RFC 2047: Amazon S3 gives metadata beyond ASCII like that, and so do we.
_WORD = re.compile(r"=\?[^? ]+\?[bq]\?[^? ]*\?=", re.IGNORECASE)
# https://learn.microsoft.com/rest/api/storageservices/set-blob-tags
_TAG = re.compile(r"[A-Za-z0-9 +\-./:=_]*")
_TAGS = 10


def described(properties: Properties | None, tags: bool = True) -> dict[str, Any]:
    """Arguments of a call of the SDK that writes a blob.

    Args:
        properties: what to keep; what a blob cannot keep is left out.
        tags: whether the account has tags at all.
    """
    if properties is None:
        return {}
    return {
        "content_settings": ContentSettings(
            content_type=_header(properties.content_type),
            content_encoding=_header(properties.content_encoding),
            content_language=_header(properties.content_language),
            content_disposition=_header(properties.content_disposition),
            cache_control=_header(properties.cache_control),
            content_md5=bytearray(properties.md5) if properties.md5 else None,
        ),
        "metadata": _named(properties),
        "tags": (tags and _tagged(properties)) or None,
    }


def properties_of(found: BlobProperties, tags: dict[str, str]) -> Properties:
    """What a blob keeps.

    Args:
        found: what the SDK says of it.
        tags: its tags, which are asked for apart.
    """
    settings = found.content_settings
    return Properties(
        content_type=settings.content_type or "",
        content_encoding=settings.content_encoding or "",
        content_language=settings.content_language or "",
        content_disposition=settings.content_disposition or "",
        cache_control=settings.cache_control or "",
        metadata={name: _plain(value) for name, value in (found.metadata or {}).items()},
        tags=tags,
        md5=bytes(settings.content_md5) if settings.content_md5 else None,
    )


def _header(value: str) -> str | None:
    return value if value and value.isascii() and value.isprintable() else None


def _named(properties: Properties) -> dict[str, str]:
    """Metadata under names that are C# identifiers, as the service wants them: other characters
    become underscores. Of two names that are one then, the first stays.
    """
    named: dict[str, tuple[str, str]] = {}
    for name, value in properties.metadata.items():
        fit = re.sub(r"[^A-Za-z0-9_]|^(?=[0-9])", "_", name)
        if fit and fit.lower() != FOLDER:
            named.setdefault(fit.lower(), (fit, _worded(value)))
    return dict(named.values())


def _worded(value: str) -> str:
    """A value as a header can hold it."""
    fits = value.isascii() and value.isprintable() and value == value.strip()
    if fits and not _WORD.search(value):
        return value
    return f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _plain(value: str) -> str:
    if not _WORD.search(value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError):
        return value  # it only looks like it


def _tagged(properties: Properties) -> dict[str, str]:
    fit = {
        name: value
        for name, value in properties.tags.items()
        if 0 < len(name) <= 128
        and len(value) <= 256
        and _TAG.fullmatch(name)
        and _TAG.fullmatch(value)
    }
    return dict(list(fit.items())[:_TAGS])

"""What S3 keeps beside an object's bytes, from and to requests. Pure."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.header import decode_header, make_header
from typing import Any
from urllib.parse import quote, urlencode

from copy_core.connectors.files.store import Properties

_FIELDS = {
    "ContentType": "content_type",
    "ContentEncoding": "content_encoding",
    "ContentLanguage": "content_language",
    "ContentDisposition": "content_disposition",
    "CacheControl": "cache_control",
}
# What S3 says of an object that was given no type.
_NO_TYPE = "binary/octet-stream"
# Metadata travels in headers, which are ASCII: S3 itself answers other text as encoded words.
_WORDS = re.compile(r"(=\?[\w-]+\?[bBqQ]\?[^?\s]*\?=\s*)+")
_PLAIN = re.compile(r"(?!\s)[\x20-\x7e]*(?<!\s)")
_MD5 = re.compile(r"[0-9a-f]{32}")
_CRC32 = re.compile(r"[A-Za-z0-9+/]{6}==")


def to_request(properties: Properties) -> dict[str, Any]:
    """Arguments of the requests that make an object."""
    request: dict[str, Any] = {
        name: value for name, field in _FIELDS.items() if (value := getattr(properties, field))
    }
    if properties.metadata:
        request["Metadata"] = {k: _to_header(v) for k, v in properties.metadata.items()}
    if properties.tags:
        request["Tagging"] = urlencode(properties.tags, quote_via=quote)
    return request


def from_answer(head: Mapping[str, Any], tags: Mapping[str, str]) -> Properties:
    """The properties of an object.

    Args:
        head: what HeadObject says of it, asked for checksums too, or GetObject.
        tags: its tags.
    """
    fields = {field: str(head.get(name, "")) for name, field in _FIELDS.items()}
    if fields["content_type"] == _NO_TYPE:
        fields["content_type"] = ""
    etag = head["ETag"].strip('"')
    # With keys of KMS or the customer the etag is another text; of an upload in parts, too.
    plain = head.get("ServerSideEncryption", "AES256") == "AES256"
    known = plain and "SSECustomerAlgorithm" not in head and _MD5.fullmatch(etag)
    return Properties(
        **fields,
        metadata={k: _from_header(v) for k, v in head["Metadata"].items()},
        tags=tags,
        md5=bytes.fromhex(etag) if known else None,
        crc32=_crc32(head),
    )


def _crc32(head: Mapping[str, Any]) -> bytes | None:
    """The CRC32 of all bytes. That of an upload in parts may be one of the parts' CRC32s instead:
    it ends in their number, and newer services say so
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
    """
    whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    value = str(head.get("ChecksumCRC32", ""))
    return b64decode(value) if whole and _CRC32.fullmatch(value) else None


def _to_header(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value):
        return value
    return f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _from_header(value: str) -> str:
    if not _WORDS.fullmatch(value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError):  # it only looked like encoded words
        return value

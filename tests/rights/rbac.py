"""Which actions of Azure's roles a request to the Blob or Table service takes. Pure.

The source, operation by operation:
https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from tests.rights.guard import Need

BLOB_SERVICE = "Microsoft.Storage/storageAccounts/blobServices"
TABLE_SERVICE = "Microsoft.Storage/storageAccounts/tableServices"
CONTAINER = f"{BLOB_SERVICE}/containers"
BLOB = f"{CONTAINER}/blobs"
ENTITY = f"{TABLE_SERVICE}/tables/entities"

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage: the id of
# each, and what it allows.
ROLES: dict[str, tuple[str, frozenset[str]]] = {
    "Storage Blob Data Reader": (
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        frozenset(
            {
                f"{CONTAINER}/read",
                f"{BLOB_SERVICE}/generateUserDelegationKey/action",
                f"{BLOB}/read",
            }
        ),
    ),
    "Storage Blob Data Contributor": (
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        frozenset(
            {
                *(f"{CONTAINER}/{each}" for each in ("read", "write", "delete")),
                f"{BLOB_SERVICE}/generateUserDelegationKey/action",
                *(f"{BLOB}/{each}" for each in ("read", "write", "delete")),
                *(f"{BLOB}/{each}/action" for each in ("add", "move")),
            }
        ),
    ),
    "Storage Table Data Contributor": (
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        frozenset(
            {
                *(f"{TABLE_SERVICE}/tables/{each}" for each in ("read", "write", "delete")),
                *(f"{ENTITY}/{each}" for each in ("read", "write", "delete")),
                *(f"{ENTITY}/{each}/action" for each in ("add", "update")),
            }
        ),
    ),
}
_BATCHED = re.compile(rb"^DELETE (\S+) HTTP/1.1", re.MULTILINE)


def needs(method: str, path: str, headers: Mapping[str, str], body: bytes) -> list[Need]:
    """The rights that a request to the Blob service takes; arguments as of `guard.Needs`. What
    they are needed on is the container.
    """
    return list(_needs(method, path, {k.lower(): v for k, v in headers.items()}, body))


def _needs(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Iterator[Need]:
    parts = urlsplit(path)
    query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
    _, container, *key = unquote(parts.path.lstrip("/")).split("/", 2)
    match method, query.get("restype"), query.get("comp"):
        case "GET", "container", "list":
            yield Need(f"{BLOB}/read", container)
        case "GET", ("account" | "container"), "properties":
            yield Need(f"{BLOB_SERVICE}/getInfo/action", container)
        case (("GET" | "HEAD"), "container", None):
            yield Need(f"{CONTAINER}/read", container)
        case "PUT", "container", None:
            yield Need(f"{CONTAINER}/write", container)
        case "POST", "container", "batch":
            yield Need(f"{CONTAINER}/write", container)
            yield from (Need(f"{BLOB}/delete", container) for _ in _BATCHED.findall(body))
        case "GET", None, "tags":
            yield Need(f"{BLOB}/tags/read", container)
        case (("GET" | "HEAD"), None, None):
            yield Need(f"{BLOB}/read", container)
        case "DELETE", None, None if key:
            yield Need(f"{BLOB}/delete", container)
        case "PUT", None, (None | "block" | "blocklist"):
            yield Need(f"{BLOB}/write", container)
            if headers.get("x-ms-tags"):
                yield Need(f"{BLOB}/tags/write", container)
            if source := headers.get("x-ms-copy-source"):
                yield Need(f"{BLOB}/read", unquote(urlsplit(source).path).split("/")[2])
        case _:
            yield Need(f"unknown: {method} {path}", container)

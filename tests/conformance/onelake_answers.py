"""What OneLake says that Azurite does not, for its stand-in."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from copy_core.connectors import onelake as address
from tests.store_proxy import Answer, Exchange


def query_of(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def refused(exchange: Exchange, headers: dict[str, str]) -> Answer | None:
    """What OneLake says to what it does not do, which Azurite would; None to everything else."""
    query = query_of(exchange.path)
    path = unquote(urlsplit(exchange.path).path).strip("/")
    in_item = (path.partition("/")[2] or query.get("prefix", "")).split("/")
    changes = exchange.method not in ("GET", "HEAD")
    if headers.get("x-ms-version", "") > address.VERSION:
        return error(400, "InvalidHeaderValue", "The value of x-ms-version is not right.")
    if query.get("comp") == "batch":
        message = "Either WorkspaceId or ArtifactId are missing in the request"
        return error(400, "BadRequest", message)
    if query.get("comp") in ("properties", "tags", "acl") or "x-ms-tags" in headers:
        return error(400, "UnsupportedQueryParameter", "A parameter or header is not supported.")
    if "x-ms-requires-sync" in headers:
        return error(400, "UnsupportedHeader", "x-ms-requires-sync is not supported.")
    if changes and ("/" not in path or in_item[1:] in ([], ["Files"], ["Tables"])):
        return error(400, "OperationNotAllowedOnThePath", "Fabric manages this path.")
    if "/" in path and urlsplit(exchange.path).path.endswith("/"):
        return error(403, "AuthenticationFailed", "The request is not authenticated.")
    if in_item[0] == "nowhere.Lakehouse":
        return error(404, "ArtifactNotFound", f"Artifact '{in_item[0]}' is not found.")
    return None


def is_empty_folder(query: dict[str, str], answer: Answer) -> bool:
    folder = query.get("prefix", "")
    return (
        query.get("comp") == "list"
        and "/Files/" in folder
        and folder.endswith("/")
        and not folder.endswith("/Files/")
        and b"<Name>" not in answer.body
    )


def starting(start: str, answer: Answer) -> Answer:
    """A list of blobs from a name on, which Azurite 3.35 cannot give."""

    def kept(blob: re.Match[bytes]) -> bytes:
        return blob[0] if html.unescape(blob[1].decode()) >= start else b""

    body = re.sub(rb"<Blob><Name>(.*?)</Name>.*?</Blob>", kept, answer.body, flags=re.DOTALL)
    return answer._replace(body=body)


def json_answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def error(status: int, code: str, message: str) -> Answer:
    answer = json_answer(status, {"error": {"code": code, "message": message}})
    more = {"x-ms-error-code": code, "Date": format_datetime(datetime.now(UTC), usegmt=True)}
    return answer._replace(headers={**answer.headers, **more})

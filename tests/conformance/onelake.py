"""What stands for OneLake, which nobody can run at home: Azurite behind a proxy.

As with OneLake, a container is a workspace, a request needs a token of Entra ID for storage in
place of a signature, and blobs are not deleted in batches. The proxy hands out the tokens too, the
way App Service does for a managed identity. It is a process of its own
(`python -m tests.conformance.onelake PORT`), for delta-rs holds the interpreter while it waits for
an answer, and it ends with the process that began it.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from copy_core.connectors import entra
from copy_core.connectors.delta import onelake as tables
from tests.servers import Azurite
from tests.store_proxy import Answer, Exchange, Rule, proxy

_HEADER = "only for the managed identity"
_STORAGE = "https://storage.azure.com"


class OneLake:
    """The stand-in, as a test sees it.

    Attributes:
        origin: its address.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.origin: str = self._said()

    def hasten(self, seconds: int) -> None:
        """Lets the tokens that it gives from now on live so long."""
        self._tell({"seconds": seconds})

    def refuse(self, status: int, code: str, message: str) -> None:
        """Lets it give this answer to every request that has a token, until it is told another."""
        self._tell({"refuse": [status, code, message]})

    def requests(self) -> list[str]:
        """The method and path of every request that had the right token."""
        found: list[str] = self._tell({})["requests"]
        return found

    def tokens(self) -> int:
        """How many tokens were given out."""
        return int(self._tell({})["tokens"])

    def _tell(self, what: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return self._said()

    def _said(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def onelake(azurite: Azurite) -> Iterator[OneLake]:
    """The stand-in, where delta-rs and azure-identity of this process look for the real ones."""
    command = [sys.executable, "-m", __name__, str(azurite.blob_port)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        lake = OneLake(process)
        patch.setattr(tables, "_BLOBS", lake.origin)
        patch.setenv("AZURE_ENDPOINT", lake.origin)
        patch.setenv("AZURE_ALLOW_HTTP", "true")
        patch.setenv("IDENTITY_ENDPOINT", f"{lake.origin}/msi/token")
        patch.setenv("IDENTITY_HEADER", _HEADER)
        entra.identity.cache_clear()
        yield lake
        entra.identity.cache_clear()


# The side of the process


class _StandIn:
    def __init__(self, azurite: Azurite) -> None:
        self._account = azurite.account
        self._sas = generate_account_sas(
            azurite.account,
            azurite.key,
            ResourceTypes(service=True, container=True, object=True),
            AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        self.tokens: list[str] = []
        self.seconds = 3600
        self.refusal: Answer | None = None
        self.requests: list[str] = []

    def meet(self, exchange: Exchange) -> None:
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        if exchange.path.startswith("/msi/token"):
            exchange.reply(self._token(exchange.path, headers))
        elif "comp=batch" in exchange.path:
            exchange.reply(
                _error(400, "BadRequest", "Either WorkspaceId or ArtifactId are missing")
            )
        elif headers.get("authorization") not in [f"Bearer {token}" for token in self.tokens]:
            exchange.reply(_error(401, "InvalidAuthenticationInfo", "The token is not right."))
        else:
            self.requests.append(f"{exchange.method} {exchange.path}")
            exchange.reply(self.refusal or self._forwarded(exchange))

    def _forwarded(self, exchange: Exchange) -> Answer:
        """Azurite's answer to the request, with a signature in place of the token."""
        for name in [name for name in exchange.headers if name.lower() == "authorization"]:
            del exchange.headers[name]
        join = "&" if "?" in exchange.path else "?"
        start = parse_qs(urlsplit(exchange.path).query).get("startFrom", [""])[0]
        exchange.path = f"/{self._account}{exchange.path}{join}{self._sas}"
        answer = exchange.forward()
        return _from(start, answer) if start else answer

    def _token(self, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("x-identity-header") != _HEADER:
            return _json(401, {"statusCode": 401, "message": "The header is not right."})
        if parse_qs(urlsplit(path).query)["resource"] != [_STORAGE]:
            return _json(400, {"statusCode": 400, "message": "That is not storage."})
        self.tokens.append(f"token-{len(self.tokens)}-of-onelake")
        given = {
            "access_token": self.tokens[-1],
            "expires_on": str(int(time.time()) + self.seconds),
            "resource": _STORAGE,
            "token_type": "Bearer",
        }
        return _json(200, given)


def _from(start: str, answer: Answer) -> Answer:
    """A list of blobs from a name on, which Azurite 3.35 cannot give."""

    def kept(blob: re.Match[bytes]) -> bytes:
        return blob[0] if html.unescape(blob[1].decode()) >= start else b""

    body = re.sub(rb"<Blob><Name>(.*?)</Name>.*?</Blob>", kept, answer.body, flags=re.DOTALL)
    return answer._replace(body=body)


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _error(status: int, code: str, message: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, {"x-ms-error-code": code}, body.encode())


def main(blob_port: int) -> None:
    """Serves until the standard input ends; answers each line that comes from there."""
    azurite = Azurite(blob_port, 0, 0)
    stand_in = _StandIn(azurite)
    with proxy(azurite.blob_origin) as server:
        server.reset(Rule(stand_in.meet))
        print(json.dumps(server.origin), flush=True)
        for line in sys.stdin:
            told = json.loads(line)
            if refused := told.get("refuse"):
                stand_in.refusal = _error(*refused)
            stand_in.seconds = told.get("seconds", stand_in.seconds)
            said = {"requests": stand_in.requests, "tokens": len(stand_in.tokens)}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

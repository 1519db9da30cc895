"""What stands for OneLake, which nobody can run at home: Azurite behind a proxy.

As with OneLake, a container is a workspace and a request needs a token of Entra ID for storage in
place of a signature. It refuses what OneLake does: batches of deletes, tags, what concerns the
account or the workspace itself, changes of what Fabric manages, and names that end in a slash. What
nobody says that OneLake can is refused too: a newer version of the service than delta-rs speaks, a
copy in one step, a list of a folder that is not there. It fetches blocks from an address, as AzCopy
has OneLake do, which Azurite cannot. A lakehouse called `nowhere` is not there, and one called
`renamed` is listed under another name.

The proxy hands out the tokens too, the way App Service does for a managed identity. It is a process
of its own (`python -m tests.conformance.onelake PORT`), for delta-rs holds the interpreter while it
waits for an answer, and it ends with the process that began it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerClient,
    ResourceTypes,
    generate_account_sas,
)
from requests.adapters import BaseAdapter, HTTPAdapter

from copy_core import entra
from copy_core.connectors import onelake as address
from tests.conformance.onelake_answers import (
    error,
    is_empty_folder,
    json_answer,
    query_of,
    refused,
    starting,
)
from tests.planted import planted
from tests.servers import Azurite
from tests.store_proxy import Answer, Exchange, Rule, proxy

_HEADER = planted("header-of-the-identity")
_STORAGE = "https://storage.azure.com"


class OneLake:
    """The stand-in, as a test sees it.

    Attributes:
        origin: its address.
    """

    def __init__(self, process: subprocess.Popen[str], azurite: Azurite) -> None:
        self._process, self._azurite = process, azurite
        self.origin: str = self._said()

    def create(self, workspace: str) -> None:
        """Makes a workspace, as only Fabric itself can."""
        with ContainerClient(self._azurite.blob_endpoint, workspace, self._azurite.key) as client:
            client.create_container()

    def hasten(self, seconds: int) -> None:
        """Lets the tokens that it gives from now on live so long."""
        self._tell({"seconds": seconds})

    def refuse(self, status: int, code: str, message: str) -> None:
        """Lets it give this answer to every request that has a token, until it is told another."""
        self._tell({"refuse": [status, code, message]})

    @contextmanager
    def refusing(self, status: int, code: str, message: str) -> Iterator[None]:
        """The same for a while."""
        self.refuse(status, code, message)
        try:
            yield
        finally:
            self._tell({"refuse": None})

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
    """The stand-in, where the libraries of this process look for the real ones."""
    command = [sys.executable, "-m", __name__, str(azurite.blob_port)]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        lake = OneLake(process, azurite)
        others = requests.Session.get_adapter
        here = stack.enter_context(closing(_ThisWay(lake.origin)))
        patch = stack.enter_context(pytest.MonkeyPatch.context())

        def get_adapter(session: requests.Session, url: str) -> BaseAdapter:
            return here if url.startswith(address.BLOBS) else others(session, url)

        patch.setattr(requests.Session, "get_adapter", get_adapter)
        patch.setenv("AZURE_ENDPOINT", lake.origin)
        patch.setenv("AZURE_ALLOW_HTTP", "true")
        patch.setenv("IDENTITY_ENDPOINT", f"{lake.origin}/msi/token")
        patch.setenv("IDENTITY_HEADER", _HEADER)
        entra.identity.cache_clear()
        yield lake
        entra.identity.cache_clear()


class _ThisWay(HTTPAdapter):
    """Leads requests to the stand-in that are sent to OneLake, which has a name and TLS."""

    def __init__(self, origin: str) -> None:
        super().__init__(pool_maxsize=64)
        self._origin = origin

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        request.url = (request.url or "").replace(address.BLOBS, self._origin, 1)
        return super().send(request, *args, **kwargs)


# The side of the process


class _StandIn:
    def __init__(self, azurite: Azurite) -> None:
        self._account, self._endpoint = azurite.account, azurite.blob_endpoint
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
        elif not self._lets_in(headers.get("authorization")):
            exchange.reply(error(401, "InvalidAuthenticationInfo", "The token is not right."))
        else:
            self.requests.append(f"{exchange.method} {exchange.path}")
            answer = self.refusal or refused(exchange, headers)
            if not answer and query_of(exchange.path).get("comp") == "block":
                answer = self._block(exchange, headers)
            answer = answer or self._forwarded(exchange)
            exchange.reply(answer._replace(body=b"") if exchange.method == "HEAD" else answer)

    def _lets_in(self, authorization: str | None) -> bool:
        return authorization in [f"Bearer {token}" for token in self.tokens]

    def _block(self, exchange: Exchange, headers: dict[str, str]) -> Answer | None:
        """Puts the bytes of a block in the place of the address that they are fetched from; an
        answer when they cannot be had.
        """
        source = headers.get("x-ms-copy-source")
        if source is None:
            return None
        if source.startswith(address.BLOBS):
            if not self._lets_in(headers.get("x-ms-copy-source-authorization")):
                return error(401, "CannotVerifyCopySource", "The source wants a token.")
            source = f"{source.replace(address.BLOBS, self._endpoint, 1)}?{self._sas}"
        asked = {"Range": headers["x-ms-source-range"]}
        with requests.get(source, headers=asked, stream=True, timeout=60) as found:
            exchange.body = found.raw.read(decode_content=False)
        if not found.ok:
            return error(found.status_code, "CannotVerifyCopySource", "The source is not there.")
        for name in list(exchange.headers):
            if name.lower().startswith(("x-ms-copy-source", "x-ms-source")):
                del exchange.headers[name]
        return None

    def _forwarded(self, exchange: Exchange) -> Answer:
        """Azurite's answer to the request, with a signature in place of the token."""
        for name in list(exchange.headers):
            if name.lower() == "authorization":
                del exchange.headers[name]
            elif name.lower() == "x-ms-copy-source":
                source = exchange.headers[name]
                exchange.headers[name] = source.replace(address.BLOBS, self._endpoint, 1)
        query = query_of(exchange.path)
        join = "&" if "?" in exchange.path else "?"
        asked = exchange.path.replace("Renamed.Lakehouse", "renamed.Lakehouse")
        exchange.path = f"/{self._account}{asked}{join}{self._sas}"
        answer = exchange.forward()
        if answer.headers.get("x-ms-error-code") == "ContainerNotFound":
            return error(404, "WorkspaceNotFound", "The workspace is not found.")
        if is_empty_folder(query, answer):
            return error(404, "PathNotFound", "The specified path does not exist.")
        if copied := answer.headers.get("x-ms-copy-source"):
            known = copied.replace(self._endpoint, address.BLOBS, 1)
            answer = answer._replace(headers={**answer.headers, "x-ms-copy-source": known})
        body = answer.body.replace(b"<Name>renamed.Lakehouse/", b"<Name>Renamed.Lakehouse/")
        answer, start = answer._replace(body=body), query.get("startFrom", "")
        return starting(start, answer) if start else answer

    def _token(self, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("x-identity-header") != _HEADER:
            return json_answer(401, {"statusCode": 401, "message": "The header is not right."})
        if parse_qs(urlsplit(path).query)["resource"] != [_STORAGE]:
            return json_answer(400, {"statusCode": 400, "message": "That is not storage."})
        self.tokens.append(planted(f"token-{len(self.tokens)}-of-onelake"))
        given = {
            "access_token": self.tokens[-1],
            "expires_on": str(int(time.time()) + self.seconds),
            "resource": _STORAGE,
            "token_type": "Bearer",
        }
        return json_answer(200, given)


def main(blob_port: int) -> None:
    """Serves until the standard input ends; answers each line that comes from there."""
    azurite = Azurite(blob_port, 0, 0)
    stand_in = _StandIn(azurite)
    with proxy(azurite.blob_origin) as server:
        server.reset(Rule(stand_in.meet))
        print(json.dumps(server.origin), flush=True)
        for line in sys.stdin:
            told = json.loads(line)
            if "refuse" in told:
                stand_in.refusal = error(*told["refuse"]) if told["refuse"] else None
            stand_in.seconds = told.get("seconds", stand_in.seconds)
            said = {"requests": stand_in.requests, "tokens": len(stand_in.tokens)}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

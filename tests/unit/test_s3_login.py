"""How connections to S3 sign in. There is no security token service to sign in at: a stand-in
writes down what it is asked, and gives out keys.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest

from copy_core.connectors.file_options import S3Options
from copy_core.connectors.files.stores.s3 import S3Store
from copy_core.connectors.files.stores.s3_client import client
from copy_core.errors import ConfigError
from tests.planted import planted
from tests.servers import LocalStack

ROLE = "arn:aws:iam::123456789012:role/copier"
TOKEN = planted("token-of-entra")
_ANSWER = """<{action}Response><{action}Result><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{session}</SessionToken><Expiration>{expires}</Expiration></Credentials>
<AssumedRoleUser><Arn>{role}/copyjob</Arn><AssumedRoleId>x:copyjob</AssumedRoleId></AssumedRoleUser>
</{action}Result></{action}Response>"""


class Authority(ThreadingHTTPServer):
    """Gives out keys of roles, and tokens as a managed identity's endpoint does.

    Attributes:
        lives: how long the keys live, seconds.
        asked: what it was asked.
    """

    daemon_threads = True
    lives = 3600

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Authority

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = dict(parse_qsl(body)) | {"signed": self.headers.get("Authorization", "")}
        self.server.asked.append(asked)
        expires = datetime.now(UTC) + timedelta(seconds=self.server.lives)
        action, key = asked["Action"], f"KEY{len(self.server.asked)}"
        text = _ANSWER.format(
            action=action,
            key=key,
            secret=planted("secret-of-a-role"),
            session=planted("session-of-a-role"),
            expires=expires.isoformat(),
            role=ROLE,
        )
        self._answer(text, "text/xml")

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        self.server.asked.append(query)
        expires = int(datetime.now(UTC).timestamp()) + 3600
        text = json.dumps(
            {"access_token": TOKEN, "expires_on": str(expires), "token_type": "Bearer"}
        )
        self._answer(text, "application/json")

    def _answer(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with Authority() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine signs in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def options(server: LocalStack, **others: str) -> S3Options:
    """Options of a bucket that does not exist, and of no other test: clients are kept."""
    found = S3Options.model_construct(
        type="s3", bucket=f"none-{uuid.uuid4()}", region="us-east-1", endpoint_url=server.endpoint
    )
    return found.model_copy(update=others)


def asks(settings: S3Options) -> None:
    """Sends a request; LocalStack takes any keys."""
    with pytest.raises(ConfigError) as caught:
        S3Store(settings).stat("x")
    assert caught.value.code == "root-missing"


def test_without_anything_it_says_what_to_give(localstack: LocalStack) -> None:
    with pytest.raises(ConfigError) as caught:
        S3Store(options(localstack, external_id=str(uuid.uuid4())))
    assert caught.value.code == "login-failed"
    assert "role_arn" in caught.value.fix


def test_the_environment_signs_in(localstack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    asks(options(localstack, external_id=str(uuid.uuid4())))


def test_a_profile_that_is_not_there(
    localstack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody") as caught:
        S3Store(options(localstack, external_id=str(uuid.uuid4())))
    assert caught.value.code == "login-failed"


def test_keys_assume_a_role(localstack: LocalStack, authority: Authority) -> None:
    settings = options(
        localstack,
        access_key_id="OWNKEY",
        secret_access_key="s",
        role_arn=ROLE,
        external_id=str(uuid.uuid4()),
    )
    for _ in range(2):
        asks(settings)
    (asked,) = authority.asked
    assert asked["Action"] == "AssumeRole"
    assert asked["RoleArn"] == ROLE
    assert asked["ExternalId"] == settings.external_id
    assert "Credential=OWNKEY/" in asked["signed"]


def test_keys_that_expire_are_renewed(localstack: LocalStack, authority: Authority) -> None:
    authority.lives = 30
    settings = options(
        localstack,
        access_key_id="OWNKEY",
        secret_access_key="s",
        role_arn=ROLE,
        external_id=str(uuid.uuid4()),
    )
    asks(settings)
    assert len(authority.asked) > 1


def test_a_token_of_entra_assumes_a_role(
    localstack: LocalStack, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{authority.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    audience = f"api://{uuid.uuid4()}"
    asks(options(localstack, role_arn=ROLE, web_identity=audience))
    token, assumed = authority.asked
    assert token["resource"] == audience
    assert assumed["Action"] == "AssumeRoleWithWebIdentity"
    assert assumed["WebIdentityToken"] == TOKEN
    assert assumed["signed"] == ""


def test_clients_are_shared_by_those_who_ask_alike(localstack: LocalStack) -> None:
    mine = options(localstack, access_key_id="a", secret_access_key="b")
    same = options(localstack, access_key_id="a", secret_access_key="b")
    other = options(localstack, access_key_id="a", secret_access_key="c")
    assert client(mine) is client(same)
    assert client(mine) is not client(other)


@pytest.mark.parametrize("endpoint", ["nothing", "http://", "ftp:/x y"])
def test_an_address_that_is_none(localstack: LocalStack, endpoint: str) -> None:
    settings = options(localstack, access_key_id="a", secret_access_key="b", endpoint_url=endpoint)
    with pytest.raises(ConfigError) as caught:
        S3Store(settings)
    assert caught.value.code == "endpoint-invalid"

"""A secret is in the environment, and appears nowhere else, whatever fails."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.badinput.desk import Desk, Ran, between
from tests.badinput.places import PLACES, sales
from tests.planted import planted, planted_key

NAME = "COPYJOB_TEST_SECRET"
REFERENCE = f"${{env:{NAME}}}"


@pytest.fixture
def secret() -> str:
    """A value as services make them: characters that URLs write differently."""
    return f"pw+{planted(uuid4().hex)}=="


def nowhere(secret: str, ran: Ran, folder: Path) -> None:
    """Asserts that a secret is neither shown nor kept: state, ledgers, staged rows and all."""
    forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
    for form in forms:
        assert form not in ran.out + ran.err
        for file in folder.rglob("*"):
            if file.is_file():
                assert form.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("desk", "role"),
    # Not to Delta: whoever makes a Delta table writes its location into its log.
    [
        (("sqlite", "delta"), "from"),
        (("delta", "sqlite"), "from"),
        (("csv", "parquet"), "from"),
        (("delta", "sqlite"), "to"),
        (("sqlite", "parquet"), "to"),
        (("parquet", "jsonl"), "to"),
    ],
    indirect=["desk"],
    ids=lambda each: each if isinstance(each, str) else "-to-".join(each),
)
def test_a_secret_in_a_path(desk: Desk, role: str, secret: str) -> None:
    """It does not belong there, but nobody has to know that."""
    desk.source.add(sales(1, 2, 3))
    place = desk.source if role == "from" else desk.destination
    if place.path.exists():
        place.path.rename(place.path.with_name(secret))
    place.path = place.path.with_name(secret)
    connection = desk.connections[role]
    connection["path" if "path" in connection else "root"] = f"{desk.folder}/{REFERENCE}"
    ran = desk.run_apart("--verbose", env={NAME: secret})
    assert ran.exit == 0, ran
    nowhere(secret, ran, desk.folder)
    assert desk.arrived() == desk.source.rows()
    desk.source.add(sales(4))
    place.path.rename(desk.folder / "moved")
    place.path.write_text("I am a letter.")
    ran = desk.run_apart("--verbose", env={NAME: secret})
    assert ran.exit == 1, ran
    assert ran.error["fix"]
    nowhere(secret, ran, desk.folder)
    place.path.unlink()
    (desk.folder / "moved").rename(place.path)
    ran = desk.run_apart(env={NAME: secret})
    assert ran.exit == 0, ran
    assert desk.arrived() == desk.source.rows()


NO_SERVER = {"allow_http": "true", "max_retries": "0", "aws_region": "us-east-1"}
STORES: dict[str, dict[str, Any]] = {
    "s3": {
        "root": "s3://bucket/lake",
        "storage": NO_SERVER
        | {
            "aws_endpoint_url": "http://127.0.0.1:1",
            "aws_access_key_id": REFERENCE,
            "aws_secret_access_key": REFERENCE,
        },
    },
    "azure": {
        "root": "az://box/lake",
        "storage": NO_SERVER
        | {
            "azure_storage_account_name": "me",
            "azure_storage_endpoint": "http://127.0.0.1:1",
            "azure_storage_account_key": REFERENCE,
        },
    },
    "sas": {
        "root": "az://box/lake",
        "storage": NO_SERVER
        | {
            "azure_storage_account_name": "me",
            "azure_storage_endpoint": "http://127.0.0.1:1",
            "azure_storage_sas_token": f"sv=2024&sig={REFERENCE}",
        },
    },
    "url": {"root": f"s3://me:{REFERENCE}@127.0.0.1:1/lake", "storage": {}},
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("role", ["from", "to"])
def test_a_secret_of_a_store_that_refuses(desk: Desk, store: str, role: str, secret: str) -> None:
    desk.source.add(sales(1, 2, 3))
    right = desk.connections[role]
    desk.connections[role] = {"type": "delta", **STORES[store]}
    ran = desk.run_apart("--verbose", env={NAME: secret})
    assert ran.exit == 1, ran
    nowhere(secret, ran, desk.folder)
    desk.connections[role] = right
    desk.recovers()


@between(*((each, each) for each in PLACES))
@pytest.mark.parametrize("role", ["from", "to"])
def test_a_secret_that_is_not_set(desk: Desk, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    desk.load()
    before = desk.arrived(), desk.watermark()
    right = desk.connections[role]
    desk.connections[role] = right | {
        "path" if "path" in right else "root": f"{desk.folder}/{REFERENCE}"
    }
    ran = desk.run()
    assert ran.exit == 2, ran
    assert ran.out == ""
    assert f"the environment variable {NAME} is not set" in ran.err
    assert f"connection {role}" in ran.err
    assert f"fix: Set {NAME}" in ran.err
    desk.connections[role] = right
    assert (desk.arrived(), desk.watermark()) == before
    desk.recovers()


@pytest.mark.parametrize(
    "wrong",
    [
        {"storage": {"aws_secret_access_key": "PLAIN"}},
        {"root": "https://me.blob.core.windows.net/x?sv=1&sig=PLAIN"},
        {"storage": {"account_key": "${env:PLAIN"}},
        {"storage": {"sas_token": ["PLAIN"]}},
    ],
    ids=["value", "signature", "half", "list"],
)
def test_a_secret_that_is_written_down(desk: Desk, wrong: dict[str, Any]) -> None:
    """It is refused, and not said again: the terminal may be a log that many read."""
    secret = f"pw+{uuid4().hex}=="  # not planted: it is in a file
    desk.source.add(sales(1, 2, 3))
    right = desk.connections["to"]
    plain = json.dumps({"type": "delta", "root": "lake"} | wrong)
    desk.connections["to"] = json.loads(plain.replace("PLAIN", secret))
    ran = desk.run()
    assert ran.exit == 2, ran
    assert "connections" in ran.err
    assert secret not in ran.out + ran.err
    desk.connections["to"] = right
    desk.recovers()


@pytest.mark.parametrize(
    "text",
    ["{}", "AccountName=me;AccountKey={};TableEndpoint=http://127.0.0.1:1/me"],
    ids=["senseless", "refused"],
)
def test_a_secret_of_the_state(desk: Desk, text: str) -> None:
    secret = planted_key(64)
    desk.source.add(sales(1, 2, 3))
    state, env = f"tables:{REFERENCE}", {NAME: text.format(secret)}
    ran = desk.apart("status", str(desk.file), "--verbose", "--state", state, env=env)
    assert ran.exit in (1, 2), ran
    assert "fix:" in ran.err, ran.err
    nowhere(secret, ran, desk.folder)
    desk.recovers()

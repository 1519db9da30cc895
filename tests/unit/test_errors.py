"""Errors that say what, where and what to change, and never a secret."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core import secrets
from copy_core.errors import (
    Cancelled,
    ConfigError,
    ConflictError,
    CopyJobError,
    TerminalError,
    TransientError,
)

EVERY: list[type[CopyJobError]] = [
    ConfigError,
    TerminalError,
    TransientError,
    ConflictError,
    Cancelled,
]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test knows the secrets that it resolved itself, and no other."""
    monkeypatch.setattr(secrets, "_values", set())


def test_an_error_reads_as_where_what_and_fix() -> None:
    error = ConfigError("the column is missing", fix="Add it", table="orders", column="id")
    assert str(error) == "table orders, column id: the column is missing. Add it"
    assert str(ConfigError("no job")) == "no job"
    assert str(ConfigError("no job", file="", fix="Name one")) == "no job. Name one"


def test_what_the_raiser_knew_stays() -> None:
    error = TerminalError("bad value", column="id")
    assert error.at(column="other", table="orders", job="") is error
    assert error.where == {"table": "orders", "column": "id"}


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_tells_machines_what_recovers_from_it(kind: type[CopyJobError]) -> None:
    error = kind("it failed", fix="Mend it", job="shop")
    assert json.loads(json.dumps(error.to_json())) == {
        "recovery": kind.recovery,
        "code": kind.recovery,
        "message": "it failed",
        "where": {"job": "shop"},
        "fix": "Mend it",
    }
    assert kind("it failed", code="special").to_json()["code"] == "special"


def test_recoveries_differ() -> None:
    assert len({kind.recovery for kind in EVERY}) == len(EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_survives_the_way_to_another_process(kind: type[CopyJobError]) -> None:
    error = kind("it failed", fix="Mend it", code="special", job="shop")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.to_json() == error.to_json()
    assert str(again) == str(error)


def test_what_a_service_or_a_holder_said_is_kept() -> None:
    assert TransientError("busy", retry_after=2.5).retry_after == 2.5
    assert TransientError("busy").retry_after is None
    assert ConflictError("taken", holder="run 7").holder == "run 7"


# Secrets


def test_references_are_resolved_from_the_environment() -> None:
    environ = {"HOST": "db.example", "PASSWORD": "s3cr3t!"}
    text = "Server=${env:HOST};Pwd=${env:PASSWORD};Again=${env:HOST}"
    assert secrets.references(text) == ["HOST", "PASSWORD", "HOST"]
    assert secrets.resolve(text, environ) == "Server=db.example;Pwd=s3cr3t!;Again=db.example"


def test_the_value_of_a_secret_is_not_resolved_again() -> None:
    assert secrets.resolve("${env:A}", {"A": "${env:B}", "B": "no"}) == "${env:B}"
    assert secrets.resolve("${env:A}", {"A": r"\1\g<0>"}) == r"\1\g<0>"


def test_a_secret_that_is_not_set_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="the environment variable PASSWORD is not set") as caught:
        secrets.resolve("${env:PASSWORD}", {})
    assert caught.value.code == "secret-missing"
    assert "Set PASSWORD" in caught.value.fix


def test_a_reference_to_key_vault_that_azure_could_not_follow_is_no_secret() -> None:
    # The app setting then holds the reference itself:
    # https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
    unresolved = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/PASSWORD)"
    with pytest.raises(ConfigError, match="PASSWORD refers to a secret of Key Vault") as caught:
        secrets.resolve("${env:PASSWORD}", {"PASSWORD": unresolved})
    assert caught.value.code == "secret-unresolved"
    assert "vault" in caught.value.fix


@given(
    secret=st.text(min_size=4).filter(lambda s: s not in "***"),
    before=st.text(),
    after=st.text(),
)
def test_no_secret_is_left_in_an_error(secret: str, before: str, after: str) -> None:
    secrets._values.clear()
    secrets.resolve("${env:SECRET}", {"SECRET": secret})
    text = f"{before}{secret}{after}"
    error = ConfigError(text, fix=text, table=text).at(job=text)
    for shown in (error.what, error.fix, *error.where.values()):
        assert secret not in shown.split("***")


def test_the_longest_secret_goes_first() -> None:
    secrets.resolve("${env:A}${env:B}", {"A": "pass", "B": "password"})
    assert secrets.scrub("password, pass, passport") == "***, ***, ***port"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://a.blob.core.windows.net/c/b?sv=1&sig=c2Vj%3D&se=2", "sv=1&sig=***&se=2"),
        ("https://b.s3.test/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=0f", "Signature=***"),
        ("copy source c%3Fsv=1%26sig%3Dc2Vj", "sig%3D***"),
    ],
)
def test_a_signed_address_is_known_by_its_form(address: str, kept: str) -> None:
    """One is made for each object, too many to remember."""
    scrubbed = secrets.scrub(address)
    assert kept in scrubbed
    assert not any(secret in scrubbed for secret in ("c2Vj", "AK%2F1", "0f"))


def test_short_values_do_not_blank_out_ordinary_words() -> None:
    secrets.resolve("${env:A}", {"A": "sql"})
    assert secrets.scrub("sql failed") == "sql failed"

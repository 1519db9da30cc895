"""What a connection to SQL Server may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from copy_core.connectors.options import MssqlOptions

LOGIN = {"user": "me", "password": "${env:PW}"}
PRINCIPAL = {"tenant_id": "t", "client_id": "c", "client_secret": "${env:CS}"}


def options(type_: str = "sql_server", **given: Any) -> MssqlOptions:
    return MssqlOptions.model_validate(
        {"type": type_, "server": "db.example", "database": "sales", **given}
    )


@pytest.mark.parametrize(
    ("type_", "given", "meant"),
    [
        ("sql_server", {}, "kerberos"),
        ("rds_sql_server", {}, "kerberos"),
        ("azure_sql", {}, "default"),
        ("azure_sql_mi", {}, "default"),
        ("azure_sql", LOGIN, "sql"),
        ("sql_server", {"auth": "managed_identity"}, "managed_identity"),
        ("azure_sql_mi", {"auth": "kerberos"}, "kerberos"),
        ("azure_sql", {"auth": "service_principal", **PRINCIPAL}, "service_principal"),
    ],
)
def test_how_to_sign_in_follows_from_what_is_given(
    type_: str, given: dict[str, str], meant: str
) -> None:
    assert options(type_, **given).sign_in == meant


@pytest.mark.parametrize(
    ("type_", "given", "said"),
    [
        ("sql_server", {"user": "me"}, "needs password"),
        ("sql_server", {"auth": "sql"}, "needs password and user"),
        ("sql_server", {"password": "${env:PW}"}, "password has no use"),
        ("sql_server", {"user": "me", "password": "hunter2"}, "write ${env:NAME}"),
        ("sql_server", {"auth": "kerberos", **LOGIN}, "password, user has no use"),
        ("azure_sql", {"auth": "managed_identity", **LOGIN}, "password, user has no use"),
        ("azure_sql", {"auth": "managed_identity", "tenant_id": "t"}, "tenant_id has no use"),
        ("azure_sql", PRINCIPAL, "are for `auth: service_principal`"),
        (
            "azure_sql",
            {"auth": "service_principal", **PRINCIPAL, "client_secret": "hunter2"},
            "write ${env:NAME}",
        ),
        (
            "azure_sql",
            {"auth": "service_principal", "tenant_id": "t"},
            "needs client_id and client_secret",
        ),
        ("azure_sql", {"auth": "kerberos"}, "knows no Kerberos"),
        ("rds_sql_server", {"auth": "default"}, "RDS knows no Entra ID"),
        ("sql_server", {"encrypt": "strict", "trust_server_certificate": True}, "always verifies"),
        ("sql_server", {"encrypt": "no", "ca_file": "/ca.pem"}, "ca_file has no use"),
        (
            "sql_server",
            {"trust_server_certificate": True, "ca_file": "/ca.pem"},
            "ca_file has no use",
        ),
    ],
)
def test_what_does_not_go_together_is_said(type_: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as e:
        options(type_, **given)
    assert said in str(e.value.errors()[0]["msg"])


def test_certificates_are_verified_unless_somebody_says_otherwise() -> None:
    plain = options()
    assert (plain.encrypt, plain.trust_server_certificate) == ("yes", False)

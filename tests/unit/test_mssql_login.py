"""Signing in before a server is met."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql import login
from copy_core.errors import ConfigError, TransientError
from tests.ports import ports_of_ones_own


def options(server: str) -> MssqlOptions:
    return MssqlOptions(type="sql_server", server=server, database="d")


def test_a_token_is_packed_with_its_length_in_bytes() -> None:
    packed = login.packed("abc")
    assert struct.unpack("<I", packed[:4]) == (6,)
    assert packed[4:].decode("utf-16-le") == "abc"


def test_who_signs_in_otherwise_needs_no_token() -> None:
    assert login.token(options("s")) is None


@pytest.mark.parametrize("opened", [login.odbc, login.direct])
def test_a_port_where_nobody_listens_may_be_a_server_that_starts(
    opened: Callable[[MssqlOptions], object],
) -> None:
    with (
        ports_of_ones_own(1) as [port],
        pytest.raises(TransientError, match="nobody listens") as e,
    ):
        opened(options(f"127.0.0.1,{port}"))
    assert e.value.code == "unreachable"


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="'x' is no port"):
        login.odbc(options("127.0.0.1,x"))
    with pytest.raises(ConfigError, match="is no port"):
        login.odbc(options("127.0.0.1,99999"))


def test_an_identity_that_is_not_there_is_a_matter_of_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(ConfigError) as e:
        login.token(MssqlOptions(type="azure_sql", server="s", database="d"))
    assert e.value.code == "login-failed"
    assert "Entra ID gives no token" in e.value.what

"""Connections wait a moment for their next use, and bring nothing along."""

from __future__ import annotations

import os

import pytest

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql import pool
from copy_core.connectors.sql.mssql.db import Database
from copy_core.connectors.sql.mssql.names import quote
from tests.mssql.server import Databases

SESSION = "SELECT @@SPID"
OPEN = "SELECT @@TRANCOUNT"


@pytest.fixture
def options(databases: Databases) -> MssqlOptions:
    pool.sweep(everything=True)
    return databases.take("pool").options.model_copy(
        update={"password": os.environ["COPYJOB_TEST_MSSQL_PASSWORD"]}
    )


def test_a_connection_is_used_again_without_its_transaction(options: MssqlOptions) -> None:
    first = Database(options)
    session = first.value(SESSION)
    first.run(f"CREATE TABLE {quote('t')} (id int)")
    first.run(f"BEGIN TRANSACTION; INSERT INTO {quote('t')} VALUES (1)")
    assert first.value(OPEN) == 1
    first.close()
    second = Database(options)
    assert (second.value(SESSION), second.value(OPEN)) == (session, 0)
    assert second.value(f"SELECT COUNT(*) FROM {quote('t')}") == 0
    other = Database(options)
    assert other.value(SESSION) != session
    second.close()
    other.close()


def test_a_connection_is_used_again_after_a_snapshot(options: MssqlOptions) -> None:
    first = Database(options)
    session, snapshot = first.value(SESSION), first.server.snapshot
    if snapshot:
        first.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
        first.run("BEGIN TRANSACTION")
        first.rows("SELECT name FROM sys.tables")
    first.close()
    second = Database(options)
    assert second.value(SESSION) == session
    second.run(f"CREATE TABLE {quote('t')} (id int)")
    second.close()


def test_nobody_is_given_what_a_stranger_has_set(options: MssqlOptions) -> None:
    first = Database(options)
    session = first.value(SESSION)
    first.run_strange("SET DATEFIRST 3")
    first.close()
    second = Database(options)
    assert second.value(SESSION) != session
    second.close()


def test_a_connection_that_the_server_ended_is_not_given(
    options: MssqlOptions, databases: Databases
) -> None:
    first = Database(options)
    session = first.value(SESSION)
    first.close()
    databases.take("killer").run(f"KILL {session}")
    second = Database(options)
    assert second.value(SESSION) != session
    second.close()


def test_what_has_waited_for_too_long_is_closed(
    options: MssqlOptions, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    first = Database(options)
    session = first.value(SESSION)
    first.close()
    pool.sweep()
    second = Database(options)
    there = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE session_id = ?"
    assert second.value(SESSION) == session or second.value(there, (session,)) == 0
    assert databases.take("pool") is not None
    second.close()


def test_a_closed_connection_does_nothing_more(options: MssqlOptions) -> None:
    first = Database(options)
    first.close()
    first.close()
    with pytest.raises(Exception, match="closed"):
        first.run("SELECT 1")

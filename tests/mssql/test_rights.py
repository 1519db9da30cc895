"""The rights that the page grants are enough to copy, and without any of them something is refused.

`tests/rights/test_pages.py` holds the other pages of T-SQL against the same grants.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyodbc
import pytest
from click.testing import CliRunner

from copy_core.cli import main
from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.registry import open_source
from copy_core.connectors.sql.mssql import pool, rights
from tests.mssql.desk import Desk
from tests.mssql.server import Database, Databases
from tests.planted import planted
from tests.rights import tsql

pytestmark = pytest.mark.timeout(300)

PASSWORD = planted("Aa1-of-somebody")
VARIABLE = "COPYJOB_TEST_MSSQL_RIGHTS"
COLUMNS = "(id int NOT NULL PRIMARY KEY, at bigint, name nvarchar(50))"
MODES: dict[str, dict[str, Any]] = {
    "append": {},
    "overwrite": {"write": "overwrite"},
    "upsert": {"write": "upsert", "keys": ["id"]},
}
# For each right of a writer, a mode that needs it.
NEEDED = {
    "CREATE TABLE": "append",
    "ALTER": "append",
    "SELECT": "upsert",
    "INSERT": "append",
    "UPDATE": "upsert",
    "DELETE": "overwrite",
}
ON_ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class Somebody:
    """A login that has the rights of the page to the schema `sales`, and no other.

    A server that does not know the right to make tables gives it to who owns the schema: there
    the login does, has the rights to rows on each table that another has made, and is not told
    which rights it has.

    Args:
        database: the database, as its owner uses it.
        heading: the page's heading.

    Attributes:
        database: as given.
        options: how a job gets there as that login.
        owns: whether it owns the schema.
    """

    def __init__(self, database: Database, heading: str) -> None:
        self.database, self._user = database, f"copyjob_{secrets.token_hex(6)}"
        given = {"user": self._user, "password": f"${{env:{VARIABLE}}}"}
        self.options = database.options.model_copy(update=given)
        self._grants = tsql.granted("sql_server", heading)
        database.run("CREATE SCHEMA sales")
        for statement in tsql.principals("sql_server", heading):
            named = re.sub(r"copyjob_(reader|writer)", self._user, statement)
            database.run(named.replace("<a password>", PASSWORD))
        try:
            for grant in self._grants:
                database.run(grant.sentence("GRANT", self._user))
            self.owns = False
        except pyodbc.Error:
            self.owns = True
            self._give_schema(self._user)

    def make(self, rows: str = "") -> None:
        """Has the owner of the database make the table `sales.t`."""
        self.database.run(f"CREATE TABLE sales.t {COLUMNS}")
        if rows:
            self.database.run(f"INSERT INTO sales.t VALUES {rows}")
        if self.owns:
            self.database.run(f"GRANT {', '.join(ON_ROWS)} ON sales.t TO {self._user}")

    def lose(self, right: str) -> None:
        """Takes one right away, to a table that is there."""
        if not self.owns:
            (grant,) = [each for each in self._grants if right in each.rights]
            self.database.run(grant.sentence("REVOKE", self._user, right))
        elif right in ON_ROWS:
            self.database.run(f"REVOKE {right} ON sales.t FROM {self._user}")
        else:
            self.database.run("DROP TABLE sales.t")
            self._give_schema("dbo")

    def go(self) -> None:
        """Removes the login, and what was made."""
        self.database.empty()
        with suppress(pyodbc.Error):  # empty schemas may have gone
            self.database.run("DROP SCHEMA sales")
        self.database.run(f"DROP USER {self._user}")
        for _ in range(50):  # a session that has just been closed may be there for a moment
            with suppress(pyodbc.Error):
                self.database.run(f"DROP LOGIN {self._user}")
                return
            time.sleep(0.1)
        self.database.run(f"DROP LOGIN {self._user}")

    def _give_schema(self, owner: str) -> None:
        self.database.run("DROP SCHEMA sales")
        self.database.run(f"CREATE SCHEMA sales AUTHORIZATION {owner}")


@pytest.fixture
def other(databases: Databases) -> Database:
    """Where the other side of a copy is, to which all is allowed."""
    made = databases.take("other")
    made.run(f"CREATE TABLE t {COLUMNS}")
    made.run("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')")
    return made


@pytest.fixture(params=["To read", "To write"])
def somebody(
    databases: Databases, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Somebody]:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    made = Somebody(databases.take("rights"), request.param)
    yield made
    pool.sweep(everything=True)
    made.go()


@pytest.fixture
def writer(somebody: Somebody, monkeypatch: pytest.MonkeyPatch) -> Somebody:
    """Somebody who is let in also where the server cannot tell what they may do."""
    if somebody.owns:
        monkeypatch.setattr(rights, "check", lambda *_, **__: None)
    return somebody


reads = pytest.mark.parametrize("somebody", ["To read"], indirect=True)
writes = pytest.mark.parametrize("somebody", ["To write"], indirect=True)


@reads
def test_a_reader_reads(somebody: Somebody, other: Database, tmp_path: Path) -> None:
    somebody.make("(1, 1, 'a'), (2, 2, 'b'), (3, NULL, 'c')")
    other.run("DROP TABLE t")
    desk = Desk(tmp_path, somebody.options, other.options)
    watched = {"mode": "incremental", "incremental_column": "at", "parts": 2}
    assert desk.copy("sales.t", destination="t", **watched).rows_written == 3
    assert doctor(tmp_path, somebody.options, "--table", "sales.t") == 0


@reads
def test_a_reader_sees_nothing_else(somebody: Somebody) -> None:
    somebody.make()
    somebody.database.run("CREATE TABLE others (id int)")
    with open_source(somebody.options) as source:
        assert source.objects() == ["sales.t"]


@writes
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_writer_writes(
    writer: Somebody, other: Database, tmp_path: Path, mode: str, *, there: bool
) -> None:
    if there:
        writer.make("(9, 0, 'old')" if mode == "append" else "(1, 0, 'old')")
    desk = Desk(tmp_path, other.options, writer.options)
    table = {"destination": "sales.t", "drift": "evolve", **MODES[mode]}
    assert desk.copy(**table).rows_written == 2
    if not there:  # not every server lets others than its owner change a table
        other.run("ALTER TABLE t ADD more int")
        assert desk.copy(**table).rows_written == 2


@writes
def test_a_writer_has_the_doctor_try_all_modes(writer: Somebody, tmp_path: Path) -> None:
    assert doctor(tmp_path, writer.options, "--write") == 0


@writes
@pytest.mark.parametrize(
    ("right", "asked"),
    # There are servers that let anybody update a table by an alias.
    [(right, asked) for right in NEEDED for asked in (True, False) if asked or right != "UPDATE"],
)
def test_no_right_of_a_writer_is_superfluous(
    somebody: Somebody,
    other: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    right: str,
    *,
    asked: bool,
) -> None:
    """Where it is not asked for beforehand, the server refuses."""
    somebody.make("(1, 0, 'old')")
    somebody.lose(right)
    if not asked:
        monkeypatch.setattr(rights, "check", lambda *_, **__: None)
    desk = Desk(tmp_path, other.options, somebody.options)
    error = desk.fail(destination="sales.t", **MODES[NEEDED[right]])
    assert error["code"] == "not-permitted" or not asked


def test_every_right_of_the_page_is_tried() -> None:
    granted = [right for each in tsql.granted("sql_server", "To write") for right in each.rights]
    assert sorted(granted) == sorted(NEEDED)
    assert [each.rights for each in tsql.granted("sql_server", "To read")] == [("SELECT",)]


def doctor(folder: Path, options: MssqlOptions, *how: str) -> int:
    """Tries a connection; the exit code."""
    file = folder / "connections.json"
    given = options.model_dump(mode="json", exclude_defaults=True)
    file.write_text(json.dumps({"connections": {"it": given}}), "utf-8")
    done = CliRunner().invoke(main, ["doctor", "it", "--connections", str(file), *how])
    print(done.output)
    return done.exit_code

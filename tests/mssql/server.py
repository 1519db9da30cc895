"""The server that the live tests run against, and databases of their own on it."""

from __future__ import annotations

import os
import random
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyodbc

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql import connect, pool
from copy_core.connectors.sql.mssql.names import quote

VARIABLE = "COPYJOB_TEST_MSSQL"
PASSWORD_VARIABLE = "COPYJOB_TEST_MSSQL_PASSWORD"
PREFIX = "copyjob_test_"
MISSING = f"{VARIABLE} names no server with Server, UID and PWD: see CONTRIBUTING.md"

_PAIR = re.compile(r"\s*([^=;]+?)\s*=\s*(?:\{((?:[^}]|\}\})*)\}|([^;]*?))\s*(?:;|$)")
_SPELLINGS = {"user": "uid", "user id": "uid", "password": "pwd", "data source": "server"}
_ENCRYPT = {"optional": "no", "mandatory": "yes"}

# What another program does with a table is not held up for ever by what a test left behind.
_SESSION = "SET LOCK_TIMEOUT 60000"


@dataclass(frozen=True)
class Server:
    """A server, by the words of its connection string, in small letters."""

    words: Mapping[str, str]

    def connection(self, database: str = "") -> pyodbc.Connection:
        """Opens a connection, to the database of the connection string when none is named."""
        words = {"driver": connect.driver(), **self.words}
        words |= {"database": database} if database else {}
        text = ";".join(f"{word}={{{value.replace('}', '}}')}}}" for word, value in words.items())
        connection = pyodbc.connect(text, autocommit=True, timeout=30)
        connection.execute(_SESSION).close()
        return connection

    def options(self, database: str) -> MssqlOptions:
        """What a job file says of that database; the password is in an environment variable."""
        encrypt = self.words.get("encrypt", "yes").lower()
        return MssqlOptions.model_validate(
            {
                "type": "sql_server",
                "server": self.words["server"],
                "database": database,
                "user": self.words["uid"],
                "password": f"${{env:{PASSWORD_VARIABLE}}}",
                "encrypt": _ENCRYPT.get(encrypt, encrypt),
                "trust_server_certificate": self.words.get("trustservercertificate") == "yes",
            }
        )


def named() -> Server | None:
    """The server that the environment names."""
    text = os.environ.get(VARIABLE, "")
    words = {}
    for name, braced, plain in _PAIR.findall(text):
        word = name.lower()
        words[_SPELLINGS.get(word, word)] = braced.replace("}}", "}") or plain
    return Server(words) if {"server", "uid", "pwd"} <= words.keys() else None


def lacks(server: Server, *, tables: Iterable[str] = (), columns: Iterable[str] = ()) -> set[str]:
    """Those of the names that a table or a column cannot have there, though SQL Server lets it:
    the server has to know them again, and spell them so in its catalog (tables in whatever case).

    Nothing that is made to find out stays.
    """
    with closing(server.connection()) as connection:
        connection.autocommit = False
        made = [(name, name, "value") for name in tables] + [(c, "names", c) for c in columns]
        return {name for name, table, column in made if not _holds(connection, table, column)}


def _holds(connection: pyodbc.Connection, table: str, column: str) -> bool:
    asked = (
        "SELECT t.name, c.name FROM sys.tables AS t JOIN sys.columns AS c"
        " ON c.object_id = t.object_id WHERE t.object_id = OBJECT_ID(?)"
    )
    try:
        connection.execute(f"CREATE TABLE {quote(table)} ({quote(column)} int)")
        found = connection.execute(asked, quote(table)).fetchall()
    except pyodbc.Error:
        found = []
    finally:
        connection.rollback()
    return [(t.casefold(), c) for t, c in found] == [(table.casefold(), column)]


class Database:
    """A database, as other programs use it: through pyodbc, with statements of their own.

    Attributes:
        options: how a job gets to it.
        versioned: readers see the last committed rows instead of waiting for a writer.
        schema: the schema of names that have none.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.options = server.options(name)
        self.connection = server.connection(name)
        [(versioned, schema)] = self.rows(
            "SELECT is_read_committed_snapshot_on, SCHEMA_NAME() FROM sys.databases"
            " WHERE database_id = DB_ID()"
        )
        self.versioned, self.schema = bool(versioned), str(schema)

    def run(self, statement: str, *values: Any) -> None:
        """Runs a statement to its end."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(statement, *values)
            while cursor.nextset():
                pass

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(self.connection.cursor()) as cursor:
            return [tuple(row) for row in cursor.execute(statement, *values).fetchall()]

    def tables(self) -> list[str]:
        """The names of all tables, without their schemas, sorted."""
        return sorted(name for (name,) in self.rows("SELECT name FROM sys.tables"))

    def empty(self) -> None:
        """Drops what tests have made."""
        schemas = set()
        for schema, name, kind in self.rows(
            "SELECT s.name, o.name, RTRIM(o.type) FROM sys.objects AS o"
            " JOIN sys.schemas AS s ON s.schema_id = o.schema_id"
            " WHERE o.parent_object_id = 0 AND o.is_ms_shipped = 0 AND o.type IN ('U', 'V')"
            " ORDER BY o.type DESC"
        ):
            word = "VIEW" if kind == "V" else "TABLE"
            self.run(f"DROP {word} {quote(schema)}.{quote(name)}")
            schemas.add(schema)
        for schema in schemas - {self.schema}:
            self.run(f"DROP SCHEMA {quote(schema)}")

    def close(self) -> None:
        self.connection.close()


@cache
def opened(name: str) -> Database:
    """A database of the server that the environment names; all of this process share its session.

    Raises:
        LookupError: the environment names no server.
    """
    server = named()
    if server is None:
        raise LookupError(MISSING)
    return Database(server, name)


class Databases:
    """The databases of one process of tests: made when they are first asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._made: dict[tuple[str, bool], Database] = {}

    def take(self, purpose: str, *, versioned: bool = True) -> Database:
        """The empty database for a purpose; what was in it before is gone.

        Args:
            purpose: tells databases apart that are used at the same time.
            versioned: whether the database versions its rows, where the server can; it is as the
                server makes it otherwise.
        """
        key = (purpose, versioned)
        if key not in self._made:
            self._made[key] = self._make(purpose, versioned=versioned)
        self._made[key].empty()
        return self._made[key]

    def _make(self, purpose: str, *, versioned: bool) -> Database:
        name = f"{PREFIX}{purpose}_{secrets.token_hex(4)}"
        with closing(self._server.connection()) as connection:
            _persistently(connection, f"CREATE DATABASE {quote(name)}")
            if versioned:
                # A server that versions rows in any case has no such options.
                with suppress(pyodbc.Error):
                    connection.execute(
                        f"ALTER DATABASE {quote(name)} SET ALLOW_SNAPSHOT_ISOLATION ON"
                    )
                    connection.execute(
                        f"ALTER DATABASE {quote(name)} SET READ_COMMITTED_SNAPSHOT ON"
                    )
        return opened(name)

    def close(self) -> None:
        """Drops them all, whoever may still be connected."""
        pool.sweep(everything=True)
        for database in self._made.values():
            database.close()
        with closing(self._server.connection()) as connection:
            for database in self._made.values():
                _drop(connection, database.name)


def _persistently(connection: pyodbc.Connection, statement: str) -> None:
    """Databases are made of one model, for one who asks at a time; the others are told so."""
    for _ in range(20):
        try:
            connection.execute(statement).close()
        except pyodbc.Error:
            time.sleep(random.uniform(0.1, 0.5))
        else:
            return
    connection.execute(statement).close()


def _drop(connection: pyodbc.Connection, name: str) -> None:
    with suppress(pyodbc.Error):  # not every server can, and the drop then says what is wrong
        connection.execute(f"ALTER DATABASE {quote(name)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
    connected = "SELECT session_id FROM sys.dm_exec_sessions WHERE database_id = DB_ID(?)"
    for (session,) in connection.execute(connected, name).fetchall():
        with suppress(pyodbc.Error):  # it has gone meanwhile
            connection.execute(f"KILL {session}")
    _persistently(connection, f"DROP DATABASE {quote(name)}")


@contextmanager
def databases() -> Iterator[Databases]:
    """Databases on the server that the environment names; gone when the block ends.

    Raises:
        LookupError: it names none.
    """
    server = named()
    if server is None:
        raise LookupError(MISSING)
    os.environ[PASSWORD_VARIABLE] = server.words["pwd"]
    made = Databases(server)
    try:
        yield made
    finally:
        made.close()
        del os.environ[PASSWORD_VARIABLE]

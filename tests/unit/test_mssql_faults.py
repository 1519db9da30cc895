"""What drivers raise, as our errors."""

from __future__ import annotations

import mssql_python
import pyodbc
import pytest
from mssql_python.exceptions import raise_exception

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql.causes import CAUSES
from copy_core.connectors.sql.mssql.faults import FAILURES, at_login, translate
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

SERVER = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
DRIVER = "[Microsoft][ODBC Driver 18 for SQL Server]"


def odbc(*said: tuple[str, str, int]) -> pyodbc.Error:
    """An error as pyodbc raises it.

    Args:
        said: SQLSTATE, text and number of each message.
    """
    marks = [DRIVER if number <= 0 else SERVER for _, _, number in said]
    texts = [
        f"[{state}] {mark}{text} ({number})"
        for (state, text, number), mark in zip(said, marks, strict=True)
    ]
    texts[0] += " (SQLExecDirectW)"
    return pyodbc.ProgrammingError(said[0][0], "; ".join(texts))


def direct(kind: str, text: str) -> mssql_python.Error:
    """An error as mssql-python raises it: without number or SQLSTATE."""
    return mssql_python.OperationalError(kind, f"[Microsoft][SQL Server]{text}")


@pytest.mark.parametrize(
    ("state", "number", "text", "error", "code"),
    [
        ("28000", 18456, "Login failed for user 'me'.", ConfigError, "login-failed"),
        ("42S02", 208, "Invalid object name 'dbo.gone'.", ConfigError, "table-missing"),
        ("42S22", 207, "Invalid column name 'gone'.", ConfigError, "column-missing"),
        ("42000", 229, "The SELECT permission was denied.", ConfigError, "not-permitted"),
        ("42000", 40615, "Cannot open server 'x'.", ConfigError, "firewall"),
        ("25000", 3906, "Failed to update database.", ConfigError, "read-only"),
        ("40001", 1205, "Transaction was deadlocked.", TransientError, "deadlock"),
        ("HYT00", 1222, "Lock request time out period exceeded.", TransientError, "lock-timeout"),
        ("42000", 3960, "Snapshot isolation aborted.", TransientError, "snapshot-conflict"),
        ("42000", 40613, "Database is not available.", TransientError, "unavailable"),
        ("42000", 18401, "Script upgrade mode.", TransientError, "unavailable"),
        ("42000", 10928, "Resource ID : 1.", TransientError, "busy"),
        ("42000", 8645, "A timeout occurred.", TransientError, "busy"),
        ("42000", 9002, "The transaction log is full.", TerminalError, "log-full"),
        ("42000", 1105, "Could not allocate space.", TerminalError, "disk-full"),
        ("22001", 8152, "String data would be truncated.", TerminalError, "too-long"),
        ("23000", 2627, "Violation of PRIMARY KEY.", TerminalError, "constraint"),
        ("23000", 547, "The INSERT statement conflicted.", TerminalError, "constraint"),
        ("22003", 8115, "Arithmetic overflow error.", TerminalError, "conversion"),
        ("42000", 102, "Incorrect syntax near 'x'.", TerminalError, "syntax"),
        ("42000", 1919, "Column 'c' is of an invalid type.", ConfigError, "key-type"),
        ("42000", 1944, "Index 'i' was not created.", ConfigError, "key-type"),
        ("42000", 1908, "Column 'c' is partitioning column.", ConfigError, "key-partitions"),
        ("23000", 1505, "Der Index wurde nicht erstellt.", TerminalError, "constraint"),
        ("42000", 33504, "A block predicate conflicts.", TerminalError, "constraint"),
        ("42000", 40552, "Excessive log space usage.", TerminalError, "log-full"),
        ("42000", 982, "No online secondary replicas.", TransientError, "unavailable"),
        ("42000", 3948, "Ghost records are deleted.", TransientError, "snapshot-conflict"),
        ("42000", 3998, "Uncommittable transaction.", TerminalError, "error-caught"),
        ("42S21", 2705, "Column names must be unique.", TerminalError, "duplicate-column"),
        ("42000", 51000, "Not today.", TerminalError, "trigger"),
        ("42000", 51000, "The order already exists.", TerminalError, "trigger"),
        ("42000", 12345, "Something else.", TerminalError, "sql-server"),
    ],
)
def test_the_number_of_the_server_decides(
    state: str, number: int, text: str, error: type[CopyJobError], code: str
) -> None:
    ours = translate(odbc((state, text, number)))
    assert (type(ours), ours.code) == (error, code)
    assert ours.fix
    assert "[" not in ours.what


@pytest.mark.parametrize(
    ("state", "text", "error", "code"),
    [
        ("08S01", "TCP Provider: Error code 0x68 (104)", TransientError, "connection-lost"),
        ("08S01", "Communication link failure", TransientError, "connection-lost"),
        ("HYT00", "Login timeout expired", TransientError, "timeout"),
        (
            "08001",
            "SSL Provider: [error:0A000086:SSL routines::certificate verify failed]",
            ConfigError,
            "certificate",
        ),
        ("HY000", "SSPI Provider: No Kerberos credentials available", ConfigError, "kerberos"),
    ],
)
def test_what_the_network_says_is_told_from_what_the_server_says(
    state: str, text: str, error: type[CopyJobError], code: str
) -> None:
    ours = translate(odbc((state, text, 0)))
    assert (type(ours), ours.code) == (error, code)


def test_a_network_number_is_none_of_the_servers() -> None:
    # 104 is a reset connection there, and a wrong ORDER BY here.
    lost = pyodbc.OperationalError("08S01", f"[08S01] {DRIVER}TCP Provider failed (104) (SQLFetch)")
    assert translate(lost).code == "connection-lost"
    assert translate(odbc(("42000", "ORDER BY items must appear", 104))).code == "syntax"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Login failed for user 'me'.", "login-failed"),
        ("Invalid object name 'dbo.gone'.", "table-missing"),
        ("The SELECT permission was denied on the object 't'.", "not-permitted"),
        ("Transaction (Process ID 5) was deadlocked on lock resources.", "deadlock"),
        ("Lock request time out period exceeded.", "lock-timeout"),
        ("Arithmetic overflow error converting numeric to data type int.", "conversion"),
        ("Divide by zero error encountered.", "conversion"),
        ("Database 'x' on server 'y' is not currently available.", "unavailable"),
        ("The system is not yet accepting connections", "unavailable"),
        ("The service is currently busy.", "busy"),
        ("A timeout occurred while waiting for memory resources to execute", "busy"),
        ("Cannot continue the execution because the session is in the kill state.", "unavailable"),
        ("The object was modified by a DDL statement in another transaction", "snapshot-conflict"),
        ("SQL Server detected a logical consistency-based I/O error: bad checksum", "corrupt"),
        ("SSL Provider: [error:0A000102:SSL routines::unsupported protocol]", "certificate"),
        ("Communication link failure", "connection-lost"),
    ],
)
def test_words_decide_where_no_number_is_told(text: str, code: str) -> None:
    ours = translate(direct("Syntax error or access violation", text))
    assert ours.code == code
    assert "Driver Error" not in ours.what


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('relation "gone" does not exist', "table-missing"),
        ('column "gone" does not exist', "column-missing"),
        ('column "gone" of relation "t" does not exist', "column-missing"),
        ('column "a b" of relation "t" does not exist', "column-missing"),
        ('column "a" of relation "t" already exists', "duplicate-column"),
        ('column "a" specified more than once', "duplicate-column"),
    ],
)
def test_a_column_is_told_from_its_table(text: str, code: str) -> None:
    said = f"Sql Error: 33557097: Class 16: State 1: {text} on SERVER in  at line 1"
    for error in (RuntimeError(said), direct("Syntax error or access violation", text)):
        assert translate(error).code == code


@pytest.mark.parametrize(
    ("state", "text", "error", "code"),
    [
        ("40001", "Die Transaktion war das Opfer.", TransientError, "deadlock"),
        ("42S02", "Ungültiger Objektname 'dbo.weg'.", ConfigError, "table-missing"),
        ("22003", "Arithmetischer Überlauf.", TerminalError, "conversion"),
        ("08S01", "TCP-Anbieter: abgebrochen", TransientError, "connection-lost"),
        ("42000", "Etwas anderes.", TerminalError, "sql-server"),
    ],
)
def test_a_server_may_speak_another_language(
    state: str, text: str, error: type[CopyJobError], code: str
) -> None:
    with pytest.raises(mssql_python.Error) as raised:
        raise_exception(state, f"[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}")
    ours = translate(raised.value)
    assert (type(ours), ours.code) == (error, code)
    assert text.rstrip(".") in ours.what or code == "deadlock"


def test_a_call_that_a_signal_broke_off_is_tried_again() -> None:
    # A driver that leaves a call for a signal says nothing of why.
    ours = translate(pyodbc.Error("HY000", "The driver did not supply an error!"))
    assert (type(ours), ours.code) == (TransientError, "connection-lost")


def test_bulk_copy_tells_its_number_in_the_text() -> None:
    said = "Sql Error: 4834: Class 16: State 1: You lack a right on server X in  at line 1"
    ours = translate(RuntimeError(f"Failed to retrieve destination metadata: {said}"))
    assert ours.code == "not-permitted"
    assert "State 1" not in ours.what
    refused = "Failed to connect to SQL Server: IO error: Connection refused (os error 111)"
    assert translate(RuntimeError(refused)).code == "connection-lost"


def test_the_message_that_tells_most_is_chosen() -> None:
    stopped = ("42000", "The statement has been terminated.", 3621)
    unprepared = ("42000", "Statement(s) could not be prepared.", 8180)
    ours = translate(odbc(stopped, ("42S02", "Invalid object name 'x'.", 208), unprepared))
    assert ours.code == "table-missing"
    assert "Invalid object name 'x'" in ours.what
    login = ("28000", "Login failed for user 'me'.", 18456)
    database = ("42000", 'Cannot open database "x" requested by the login.', 4060)
    for order in ((login, database), (database, login)):
        assert translate(odbc(*order)).code == "database-missing"


def test_table_and_column_are_named_unless_the_caller_knows_better() -> None:
    text = (
        "String or binary data would be truncated in table 'sales.dbo.people', column 'name'."
        " Truncated value: 'abc'."
    )
    error = odbc(("42000", text, 2628))
    assert translate(error).where == {"table": "sales.dbo.people", "column": "name"}
    assert translate(error, table="people").where == {"table": "people", "column": "name"}


def test_a_service_may_say_how_long_to_wait() -> None:
    text = "The service is currently busy. Retry the request after 10 seconds."
    ours = translate(odbc(("42000", text, 40501)))
    assert isinstance(ours, TransientError)
    assert ours.retry_after == 10


def test_azure_may_be_moving_a_database_that_it_cannot_open() -> None:
    azure = MssqlOptions(type="azure_sql", server="s", database="d")
    error = odbc(("42000", 'Cannot open database "d" requested by the login.', 4060))
    assert isinstance(at_login(error, azure), TransientError)
    own = MssqlOptions(type="sql_server", server="s", database="d")
    assert isinstance(at_login(error, own), ConfigError)


def test_a_server_without_tds_8_is_told_of() -> None:
    strict = MssqlOptions(type="sql_server", server="s", database="d", encrypt="strict")
    error = odbc(("08001", "TCP Provider: Error code 0x2746", 0))
    ours = at_login(error, strict)
    assert isinstance(ours, ConfigError)
    assert "encrypt: yes" in ours.fix


def test_whatever_the_drivers_raise_is_understood() -> None:
    for error in (pyodbc.Error(), pyodbc.Error("HY106", "no message"), RuntimeError()):
        assert isinstance(error, FAILURES)
        assert translate(error).code == "sql-server"


@pytest.mark.parametrize("kind", ["numbers", "states"])
def test_no_number_and_no_state_means_two_things(kind: str) -> None:
    every = [mark for cause in CAUSES for mark in getattr(cause, kind).split()]
    assert sorted(every) == sorted(set(every))

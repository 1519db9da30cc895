"""What the two drivers raise -> our errors, by the server's number, SQLSTATE or words. Pure.

pyodbc tells number and SQLSTATE; mssql-python only its own words for the SQLSTATE, in English
whatever the server speaks, and its bulk copy the number in its text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.sql.mssql.causes import CAUSES, Cause
from copy_core.connectors.sql.mssql.connect import mssql_python, pyodbc
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.options import MssqlOptions

FAILURES: tuple[type[Exception], ...] = (
    pyodbc.Error,
    mssql_python.Error,
    mssql_python.ConnectionStringParseError,
    RuntimeError,
)
"""What the drivers raise, bulk copy included; it raises ValueError besides, for single values."""

_BY_NUMBER = {int(number): cause for cause in CAUSES for number in cause.numbers.split()}
_BY_STATE = {state: cause for cause in CAUSES for state in cause.states.split()}
_STATES = {
    known.driver_error: state
    for state in _BY_STATE
    if (known := mssql_python.exceptions.sqlstate_to_exception(state, ""))
}
_BY_WORDS = [(re.compile(c.words, re.IGNORECASE), c) for c in CAUSES if c.words]

# "[42S02] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]text (208) (SQLExecDirectW); [..."
_ODBC = re.compile(
    r"\[(?P<state>\w{5})\] \[Microsoft\]\[[^\]]*\](?P<server>\[SQL Server\])?"
    r"(?P<text>.*?) \((?P<number>-?\d+)\)(?= \(SQL|; \[|$)",
    re.DOTALL,
)
# "Sql Error: 208: Class 16: State 1: text on SERVER in PROCEDURE at line 1"
_BULK = re.compile(
    r"Sql Error: (?P<number>\d+): Class \d+: State \d+: (?P<text>.*?)"
    r"(?: on \S* in \S* ?at line \d+|$)",
    re.DOTALL | re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?:Driver Error: (?P<kind>.*?); DDBC Error: )?(?:\[[^\]]*\])*", re.DOTALL)
# Said after the error that matters, or with it.
_NOISE = {8180, 3621, 3606, 5701, 5703}
# What RAISERROR and THROW of a trigger or procedure use.
_RAISED = range(50_000, 100_000)
_WAIT = re.compile(r"after (\d+) seconds")
_PLACES = {
    "table": re.compile(
        r"\b(?:table|object(?: name)?|relation) ['\"]([^'\"]+)['\"]", re.IGNORECASE
    ),
    "column": re.compile(r"\bcolumn(?: name)? ['\"]([^'\"]+)['\"]", re.IGNORECASE),
}


class _Said(NamedTuple):
    text: str
    number: int | None = None
    state: str = ""


def translate(error: Exception, **where: str) -> CopyJobError:
    """Our error for what a driver raised.

    Args:
        error: one of `FAILURES`.
        where: the place by kind, as in `CopyJobError`; a table or column that the server names is
            added where the caller knows none.
    """
    said = _read(error)
    known = [(s, cause) for s in said if (cause := _cause(s))]
    # A login fails for a reason, which may be told before or after that.
    known.sort(key=lambda found: found[1].code == "login-failed")
    told, cause = known[0] if known else (said[0], None)
    place = {kind: m[1] for kind, found in _PLACES.items() if (m := found.search(told.text))}
    text = _detail(told)
    if cause is None:
        return TerminalError(
            f"SQL Server refuses: {text}",
            fix="Correct what it speaks of; if there is nothing wrong with it, please report this"
            " with the log of the run",
            code="sql-server",
            **place | where,
        )
    what = cause.what.format(said=text)
    if cause.error is TransientError:
        wait = _WAIT.search(told.text)
        after = float(wait[1]) if wait else None
        return TransientError(
            what, fix=cause.fix, code=cause.code, retry_after=after, **place | where
        )
    return cause.error(what, fix=cause.fix, code=cause.code, **place | where)


def at_login(error: Exception, options: MssqlOptions) -> CopyJobError:
    """Our error for what a driver raised while it connected."""
    ours = translate(error)
    if ours.code == "database-missing" and options.type in ("azure_sql", "azure_sql_mi"):
        # Azure says so of a database that moves, too.
        return TransientError(ours.what, fix=ours.fix, code="unavailable")
    if ours.code == "connection-lost" and options.encrypt == "strict":
        return ConfigError(
            ours.what,
            fix="Check that the server offers TDS 8 (SQL Server 2022, Azure SQL), and else write"
            " `encrypt: yes`",
            code="strict",
        )
    return ours


def _read(error: Exception) -> list[_Said]:
    """Every message in an error, in order; at least one."""
    if isinstance(error, pyodbc.Error):
        words = str(error.args[-1]) if error.args else ""
        found = [
            # A number without a server's mark is one of the network or the driver.
            _Said(m["text"], int(m["number"]) if m["server"] else None, m["state"])
            for m in _ODBC.finditer(words)
        ]
        if found:
            return [s for s in found if s.number not in _NOISE] or found
        return [_Said(" ".join(map(str, error.args)))]
    words = str(error)
    if found := [_Said(m["text"], int(m["number"])) for m in _BULK.finditer(words)]:
        return found
    match = _PREFIX.match(words)
    kind = match["kind"] if match else None
    bare = words[match.end() :] if match else words
    return [_Said(bare or kind or type(error).__name__, state=_STATES.get(kind or "", ""))]


def _cause(said: _Said) -> Cause | None:
    if cause := _BY_NUMBER.get(said.number or 0):
        return cause
    if said.number in _RAISED:
        return _BY_NUMBER[_RAISED.start]
    for pattern, cause in _BY_WORDS:
        if pattern.search(said.text):
            return cause
    return _BY_STATE.get(said.state)


def _detail(said: _Said) -> str:
    text = re.sub(r"\s+", " ", said.text).strip().rstrip(".")
    number = f" (error {said.number})" if said.number and said.number > 0 else ""
    return f"{text}{number}"

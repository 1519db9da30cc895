"""Golden files: statements as people last read and approved them, each held to a grammar."""

from __future__ import annotations

import difflib
import logging
import re
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from copy_core.connectors.sql.text import Sql

# T-SQL that the grammar does not know: https://learn.microsoft.com/sql/t-sql, "SET statements" and
# "Hints (Transact-SQL) - Table". It is taken away before the rest is parsed.
_UNKNOWN = (
    re.compile(r"^SET IDENTITY_INSERT (\[([^\]]|\]\])+\]\.?)+ (ON|OFF)(;|$)", re.MULTILINE),
    re.compile(
        r"^SET TRANSACTION ISOLATION LEVEL (SNAPSHOT|READ COMMITTED|SERIALIZABLE)(;|$)",
        re.MULTILINE,
    ),
    re.compile(r"(?<=\]) WITH \([A-Z, ]+\)(?= \(\[)"),
)


class Golden:
    """Compares statements with files.

    Args:
        folder: where the files are.
        update: whether to write the files instead of comparing with them.
        dialect: the grammar, by sqlglot's name of it.
    """

    def __init__(self, folder: Path, *, update: bool, dialect: str = "tsql") -> None:
        self._folder, self._update, self._dialect = folder, update, dialect

    def __call__(self, name: str, *statements: Sql | str) -> None:
        """Holds the statements, in their order, against the grammar and the file of that name."""
        written = "".join(map(_written, statements))
        self._parse(name, written)
        path = self._folder / f"{name}.sql"
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(written, "utf-8")
            return
        assert path.exists(), f"{path} does not exist yet: write it with pytest --update-golden"
        approved = path.read_text("utf-8")
        changes = difflib.ndiff(approved.splitlines(), written.splitlines())
        assert written == approved, "\n".join(
            [f"{path} says otherwise (pytest --update-golden writes it anew):", *changes]
        )

    def _parse(self, name: str, written: str) -> None:
        known = written
        for unknown in _UNKNOWN:
            known = unknown.sub("", known)
        warnings = logging.getLogger("sqlglot")
        before = warnings.disabled
        warnings.disabled = True  # what they would say is raised below
        try:
            # Where nothing else is left, an empty statement is.
            parsed = sqlglot.parse(f";{known}", read=self._dialect, error_level=ErrorLevel.RAISE)
        except SqlglotError as e:
            raise AssertionError(f"{name} is no {self._dialect}: {e}") from e
        finally:
            warnings.disabled = before
        for statement in filter(None, parsed):
            # What sqlglot does not understand becomes a Command: a word, and the rest as text.
            assert not list(statement.find_all(exp.Command)), (
                f"{name} has a statement that the grammar does not know: {statement.sql()}"
            )


def _written(statement: Sql | str) -> str:
    text = statement if isinstance(statement, str) else statement.text
    values = () if isinstance(statement, str) else statement.values
    return f"{text.rstrip().rstrip(';')};\n" + "".join(f"-- ? = {value!r}\n" for value in values)

"""A query that stands for a table: in which form statements read from it. Pure.

The query becomes the last common table expression of a statement, so that one that starts with
WITH of its own serves as well as a plain SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from copy_core.connectors.sql.mssql.names import quote
from copy_core.errors import ConfigError

_NAME = quote("_copyjob_query")

# What has to be told apart to know which words and parentheses count. Comments may be nested.
_TOKEN = re.compile(
    r"--[^\n]*|/\*|\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[(?:[^\]]|\]\])*\]|[\w@#$]+|\S"
)
_OPENED = {"'", '"', "["}


class Relation(NamedTuple):
    """What a statement reads from.

    Attributes:
        head: what the statement begins with; "" for a table.
        name: what stands after FROM.
    """

    head: str
    name: str


class _Token(NamedTuple):
    word: str
    start: int
    depth: int


def relation(query: str) -> Relation:
    """The form in which the rows of a query are read.

    Raises:
        ConfigError: it is no single SELECT, or one whose rows cannot be read as those of a table.
    """
    text = query.strip().removesuffix(";").rstrip()
    outer = [token for token in _tokens(text) if token.depth == 0]
    words = [token.word for token in outer]
    if not words or words[0] not in ("SELECT", "WITH", "("):
        _refuse("does not begin with SELECT or WITH")
    start = 0
    if words[0] == "WITH":
        if "SELECT" not in words:
            _refuse("has no SELECT after its WITH")
        start = words.index("SELECT")
    main = words[start:]
    if "INTO" in main:
        _refuse("has an INTO")
    if "OPTION" in main:
        _refuse("has an OPTION clause")
    if "ORDER" in main and not {"TOP", "OFFSET"} & set(main):
        _refuse("has an ORDER BY, and the rows of a table have no order")
    body = text[outer[start].start :]
    before = text[: outer[start].start].rstrip() + "," if start else "WITH"
    # The line breaks end a comment that may be last.
    return Relation(f"{before}\n{_NAME} AS (\n{body}\n)\n", _NAME)


def _tokens(text: str) -> Iterator[_Token]:
    depth = comment = 0
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word in ("/*", "*/") and (comment or word == "/*"):
            comment += 1 if word == "/*" else -1
        elif comment or word.startswith("--"):
            continue
        elif word in _OPENED:
            _refuse(f"has a {word} that nothing closes")
        elif word == ";":
            _refuse("has a semicolon, or is several statements")
        elif word == ")":
            depth -= 1
            if depth < 0:
                _refuse("closes a parenthesis that it did not open")
        else:
            yield _Token(word.upper(), match.start(), depth)
            depth += word == "("
    if depth or comment:
        _refuse("opens a parenthesis or a comment that it does not close")


def _refuse(why: str) -> NoReturn:
    raise ConfigError(
        f"the query {why}",
        fix="Write a single SELECT, with common table expressions before it if need be, without"
        " semicolon, ORDER BY, OPTION and INTO",
        code="query-form",
    )

"""What the pages of T-SQL servers grant, statement by statement. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.rights import pages

_NAME = r"(?:\[[\w-]+\]|\w+)"
_SCHEMA = rf"(?: WITH DEFAULT_SCHEMA = {_NAME})?"
# https://learn.microsoft.com/sql/t-sql/statements/create-login-transact-sql and
# .../create-user-transact-sql, as far as the pages go: no grammar at hand knows them.
_PRINCIPAL = (
    rf"CREATE LOGIN {_NAME} (?:WITH PASSWORD = '[^']*'|FROM EXTERNAL PROVIDER)",
    rf"CREATE USER {_NAME} FOR LOGIN {_NAME}{_SCHEMA}",
    rf"CREATE USER {_NAME} FROM EXTERNAL PROVIDER{_SCHEMA}",
    rf"CREATE USER {_NAME} WITH PASSWORD = '[^']*'",
)
_GRANT = re.compile(rf"GRANT ([A-Z, ]+?)(?: ON (SCHEMA::\w+))? TO ({_NAME})")


_SETTING = r"ALTER DATABASE \w+ SET ALLOW_SNAPSHOT_ISOLATION ON"


class Grant(NamedTuple):
    """Rights that are granted at once.

    Attributes:
        rights: the rights.
        on: on what, such as `SCHEMA::sales`; "" for the database.
    """

    rights: tuple[str, ...]
    on: str

    def sentence(self, verb: str, user: str, *rights: str) -> str:
        """The statement that grants or revokes them all, or some of them."""
        on = f" ON {self.on}" if self.on else ""
        to = "TO" if verb == "GRANT" else "FROM"
        return f"{verb} {', '.join(rights or self.rights)}{on} {to} {user}"


def statements(text: str) -> list[str]:
    """The statements of a block, without what is said of them."""
    plain = re.sub(r" *--.*", "", text)
    return [each.strip() for each in plain.split(";") if each.strip()]


def makes_a_principal(statement: str) -> bool:
    """Whether a statement makes a login or a user."""
    return any(re.fullmatch(each, statement) for each in _PRINCIPAL)


def known(statement: str) -> bool:
    """Whether a statement is one of those that the pages may show."""
    shown = _GRANT.fullmatch(statement) or re.fullmatch(_SETTING, statement)
    return makes_a_principal(statement) or bool(shown)


def granted(page: str, heading: str) -> list[Grant]:
    """What a page grants under a heading."""
    (block,) = [each for each in pages.blocks(page, "sql") if each.heading == heading]
    found = [_GRANT.fullmatch(each) for each in statements(block.text)]
    return [Grant(tuple(each[1].split(", ")), each[2] or "") for each in found if each]


def principals(page: str, heading: str) -> list[str]:
    """The statements of a page under a heading that make who is granted it."""
    (block,) = [each for each in pages.blocks(page, "sql") if each.heading == heading]
    return [each for each in statements(block.text) if makes_a_principal(each)]

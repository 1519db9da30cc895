"""Names in T-SQL: always quoted when sent, and read from what people write. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from copy_core.errors import ConfigError

# A part of a name: in brackets, where `]]` stands for `]`, or anything without a dot.
_PART = re.compile(r"\[((?:[^\]]|\]\])+)\](?=\.|$)|([^.]+)(?=\.|$)")
_LONGEST = 128


class ObjectName(NamedTuple):
    """A table or view.

    Attributes:
        schema: its schema.
        table: its name in the schema.
    """

    schema: str
    table: str

    @property
    def quoted(self) -> str:
        """The name as statements write it."""
        return f"{quote(self.schema)}.{quote(self.table)}"

    @property
    def text(self) -> str:
        """The name as people write it; `parse` gives the name back."""
        return f"{_plain(self.schema)}.{_plain(self.table)}"


def parse(text: str, default_schema: str) -> ObjectName:
    """The object that a text names: `table`, `schema.table`, either part in brackets where it has
    a dot of its own.

    Args:
        text: what the job file says.
        default_schema: the schema of a name that has none.

    Raises:
        ConfigError: no object can be named so.
    """
    parts, at = [], 0
    while match := _PART.match(text, at):
        inside = match[1]
        parts.append(match[2] if inside is None else inside.replace("]]", "]"))
        at = match.end() + 1
    if at != len(text) + 1 or not 1 <= len(parts) <= 2 or not all(p.strip() for p in parts):
        raise ConfigError(
            f"'{text}' names no table",
            fix="Write table, schema.table, or [a.name].[with.dots]; the database is named by the"
            " connection",
            code="bad-name",
            table=text,
        )
    return ObjectName(*([default_schema, *parts][-2:]))


def quote(name: str) -> str:
    """A name in brackets; in double quotes where it has a bracket of its own, since some servers
    do not read a doubled one. Drivers set QUOTED_IDENTIFIER ON.

    Raises:
        ConfigError: no name can look like this.
    """
    if not name or "\0" in name or len(name.encode("utf-16-le")) > 2 * _LONGEST:
        raise ConfigError(
            f"{name!r} cannot be a name in SQL Server",
            fix=f"Names have 1 to {_LONGEST} characters",
            code="bad-name",
        )
    if "]" in name:
        return '"' + name.replace('"', '""') + '"'
    return f"[{name}]"


def _plain(name: str) -> str:
    """A part of a name, in brackets only where it would be read as something else."""
    return f"[{name.replace(']', ']]')}]" if "." in name or name.startswith("[") else name

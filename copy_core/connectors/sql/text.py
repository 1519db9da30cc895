"""SQL text with bound values: written once, sent with parameters, shown with the values. Pure.

What every SQL dialect shares. A dialect quotes names and writes literals; see `where`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from copy_core.errors import ConfigError

Value = str | int | float | bytes | None

# No quoted name can hold this character, so it marks the place of a value beyond doubt.
_MARK = "\0"


@dataclass(frozen=True)
class Sql:
    """A piece of SQL and the values bound in it, in order."""

    marked: str
    values: tuple[Value, ...] = ()

    @property
    def text(self) -> str:
        """The statement to send, with `?` for each of `values`."""
        return self.marked.replace(_MARK, "?")

    def readable(self, literal: Callable[[Value], str]) -> str:
        """The statement as people would write it; `literal` writes a value."""
        first, *rest = self.marked.split(_MARK)
        return first + "".join(
            literal(value) + text for value, text in zip(self.values, rest, strict=True)
        )

    def __add__(self, other: Sql | str) -> Sql:
        other = other if isinstance(other, Sql) else Sql(other)
        return Sql(self.marked + other.marked, self.values + other.values)

    def __radd__(self, other: str) -> Sql:
        return Sql(other) + self


def bind(value: Value) -> Sql:
    """A value, bound."""
    return Sql(_MARK, (value,))


def join(separator: str, pieces: Iterable[Sql]) -> Sql:
    """The pieces one after the other."""
    whole = Sql("")
    for number, piece in enumerate(pieces):
        whole += separator + piece if number else piece
    return whole


def quote(name: str) -> str:
    """A name in double quotes, as standard SQL writes it.

    Raises:
        ConfigError: no name can look like this.
    """
    if not name or _MARK in name:
        raise ConfigError(f"{name!r} cannot be a name in SQL", code="bad-name")
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str], quoted: Callable[[str], str] = quote) -> str:
    """Quoted names with commas between."""
    return ", ".join(quoted(c) for c in columns)


def told_apart(columns: Iterable[str], fold: Callable[[str], str]) -> dict[str, str]:
    """The names of columns by the form in which a database compares them.

    Args:
        columns: the names.
        fold: gives that form.

    Raises:
        ConfigError: it takes two of them for one.
    """
    seen: dict[str, str] = {}
    for name in columns:
        other = seen.setdefault(fold(name), name)
        if other is not name:
            raise ConfigError(
                f"the database does not tell the columns {other} and {name} apart",
                fix="Give one of them another name with `rename`",
                code="ambiguous-column",
                column=name,
            )
    return seen


def literal(value: Value) -> str:
    """A value as standard SQL writes it, for people to read; statements bind values instead."""
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

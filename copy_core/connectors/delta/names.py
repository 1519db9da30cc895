"""Column names that Fabric's SQL endpoint takes, and Delta without column mapping. Pure.

Spark refuses names with these characters where Delta maps no columns, and the endpoint shows no
such columns. The names of T-SQL have at most 128 characters.
"""

from __future__ import annotations

import re
from typing import Literal

from copy_core.errors import ConfigError
from copy_core.model import Target

Rule = Literal["any", "refuse", "replace"]

_UNFIT = re.compile(r"[ ,;{}()\n\t=]")
_LONGEST = 128


def legal(target: Target, rule: Rule) -> Target:
    """The target with column names that its table may have.

    Args:
        target: what is to be written.
        rule: what becomes of a name that the table may not have: `any` is as it is, `refuse` an
            error, and with `replace` a `_` stands for each character that it may not have.

    Raises:
        ConfigError: a name is unfit, or two would be one; names the column.
    """
    if rule == "any":
        return target
    taken: dict[str, str] = {}
    for name, _, _ in target.columns:
        new = _legal(name, rule)
        if taken.setdefault(new.lower(), name) != name:
            raise ConfigError(
                f"its name and '{taken[new.lower()]}' would both become '{new}'",
                fix="Add `rename` to one of the columns",
                code="ambiguous-column",
                column=name,
            )
    return target.model_copy(
        update={
            "columns": tuple((_legal(name, rule), *more) for name, *more in target.columns),
            "keys": tuple(_legal(name, rule) for name in target.keys),
            "order_by": target.order_by and _legal(target.order_by, rule),
            "partition_by": tuple(_legal(name, rule) for name in target.partition_by),
            "lengths": {_legal(name, rule): most for name, most in target.lengths.items()},
        }
    )


def renames(target: Target, named: Target) -> dict[str, str]:
    """What the columns of a target are called in what `legal` made of it."""
    pairs = zip(target.columns, named.columns, strict=True)
    return {before[0]: after[0] for before, after in pairs}


def _legal(name: str, rule: Rule) -> str:
    if rule == "replace":
        name = _UNFIT.sub("_", name)
    if len(name) > _LONGEST or _UNFIT.search(name):
        raise ConfigError(
            "Fabric's SQL endpoint would not show a column of this name: it has more than"
            f" {_LONGEST} characters, or one of space , ; {{ }} ( ) = tab or line break",
            fix="Add `rename` to the column, or set `names: replace` of the connection",
            code="bad-name",
            column=name,
        )
    return name

"""What a login must be allowed to do to copy into a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql.names import quote
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.names import ObjectName
    from copy_core.model import Target

# A table belongs to the owner of its schema: who makes staging tables and a ledger may not yet use
# them.
_SCHEMA = ("ALTER", "SELECT", "INSERT", "DELETE")
_TABLE = {
    "append": ("INSERT",),
    "upsert": ("SELECT", "INSERT", "UPDATE"),
    "overwrite": ("INSERT", "DELETE"),
}


def check(db: Database, target: Target, name: ObjectName, *, exists: bool) -> None:
    """Asks for every right that staging and publishing need, before anything is read.

    Args:
        db: the connection.
        target: what is to be written.
        name: the table.
        exists: whether there is one.

    Raises:
        ConfigError: one is missing.
    """
    needed: list[tuple[str, str, str | None]] = [("CREATE TABLE", "DATABASE", None)]
    needed += [(right, "SCHEMA", quote(name.schema)) for right in _SCHEMA]
    if exists:
        needed += [(right, "OBJECT", name.quoted) for right in _TABLE[target.write]]
    if exists and target.truncate:
        needed.append(("DELETE", "OBJECT", name.quoted))
    # https://learn.microsoft.com/sql/t-sql/functions/has-perms-by-name-transact-sql: null where the
    # server cannot tell.
    asked = "SELECT " + ", ".join(
        f"HAS_PERMS_BY_NAME({'?' if on else 'QUOTENAME(DB_NAME())'}, N'{kind}', N'{right}')"
        for right, kind, on in needed
    )
    [answers] = db.rows(asked, [on for _, _, on in needed if on])
    missing = [
        f"{right} on {on or 'the database'}"
        for (right, _, on), has in zip(needed, answers, strict=True)
        if has == 0
    ]
    if missing:
        raise ConfigError(
            f"the login lacks the right to {', '.join(missing)}",
            fix="Grant it to the login, or give another login to the connection",
            code="not-permitted",
        )

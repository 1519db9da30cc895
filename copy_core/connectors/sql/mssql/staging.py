"""Staging tables: heaps beside the target, of its own types, filled in bulk."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.sql.mssql import statements
from copy_core.connectors.sql.mssql.layout import places
from copy_core.connectors.sql.mssql.names import ObjectName, quote
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.model import Staged, Target


class StagedTable(NamedTuple):
    """A staging table that waits to be published.

    Attributes:
        name: its name.
        columns: what it calls each column of the target.
        rows: how many rows it was reported to have.
    """

    name: ObjectName
    columns: dict[str, str]
    rows: int


def new_name(target: Target, schema: str, part: int | str) -> ObjectName:
    """A name for a staging table that no other attempt has."""
    prefix = statements.stage_prefix(target.job, target.table)
    return ObjectName(schema, f"{prefix}{target.sequence}_{part}_{secrets.token_hex(8)}")


def find(db: Database, target: Target, schema: str, parts: Sequence[Staged]) -> list[StagedTable]:
    """The staging tables of a commit's parts.

    Raises:
        TerminalError: one of them is gone, or they differ.
    """
    prefix = f"{statements.stage_prefix(target.job, target.table)}{target.sequence}_"
    found = []
    for part in parts:
        name, columns = str(part.ref.get("table", "")), part.ref.get("columns", [])
        if not (name.startswith(prefix) and _exists(db, ObjectName(schema, name))):
            raise TerminalError(
                f"the staged rows are gone ({name or 'no staging table'})",
                fix="Reset the table to copy its rows again",
                code="staged-missing",
            )
        found.append(StagedTable(ObjectName(schema, name), places(columns), part.rows))
    if any(table.columns != found[0].columns for table in found):
        raise TerminalError(
            "the columns of the destination changed while its rows were staged",
            fix="Run the job again",
            code="columns-changed",
        )
    return found


def _exists(db: Database, name: ObjectName) -> bool:
    # By name alone: a search of the catalog waits for whoever creates any table of the database.
    return db.value("SELECT OBJECT_ID(?, N'U')", (name.quoted,)) is not None


def clean(db: Database, target: Target, schema: str) -> None:
    """Removes the staging tables of (job, table) up to the target's sequence."""
    prefix = statements.stage_prefix(target.job, target.table)
    for (table,) in db.rows(statements.staging_tables(schema, prefix)):
        sequence = table.removeprefix(prefix).split("_")[0]
        if int(sequence) <= target.sequence:
            db.run(f"DROP TABLE IF EXISTS {quote(schema)}.{quote(table)}")

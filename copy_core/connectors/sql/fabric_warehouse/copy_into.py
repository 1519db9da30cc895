"""Loads staged files into a staging table: the one statement that only a Warehouse has.

https://learn.microsoft.com/sql/t-sql/statements/copy-into-transact-sql?view=fabric
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from copy_core.connectors.sql.mssql.names import quote
from copy_core.connectors.sql.text import names
from copy_core.errors import CopyJobError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.sql.fabric_warehouse.files import StagedFiles
    from copy_core.connectors.sql.mssql.db import Database
    from copy_core.connectors.sql.mssql.names import ObjectName
    from copy_core.connectors.warehouse_options import StagingOptions

_ONELAKE = "https://onelake.dfs.fabric.microsoft.com"


def load(
    db: Database,
    into: ObjectName,
    columns: Sequence[str],
    files: StagedFiles,
    place: StagingOptions,
) -> None:
    """Loads files into a table that is empty. All of them or none: the statement is a transaction.

    Args:
        db: the connection.
        into: the table.
        columns: its columns, named as those of the files, in their order: both have to agree.
        files: the files; at least one.
        place: where they are, and how the Warehouse gets there.

    Raises:
        CopyJobError: the Warehouse does not load them.
    """
    try:
        db.run(statement(into, columns, [address(place, key) for key in files.keys], place))
    except TransientError:
        raise
    except CopyJobError as e:
        e.fix = (
            "If it speaks of access, give the identity that signs in to the Warehouse the role"
            " Storage Blob Data Reader on the container (with `sas`: rights to read and list), or"
            " of a Contributor in the workspace of the lakehouse; a right to load is ADMINISTER"
            f" DATABASE BULK OPERATIONS. {e.fix}"
        )
        raise


def address(place: StagingOptions, key: str) -> str:
    """Where the Warehouse finds a file.

    Args:
        place: where the files are.
        key: the file's path below the connection's prefix.
    """
    inside = [place.account_url, place.container]
    if not place.account_url:
        inside = [_ONELAKE, place.workspace, place.lakehouse, "Files"]
    return "/".join(step for step in [*inside, place.prefix, key] if step)


def statement(
    into: ObjectName, columns: Sequence[str], addresses: Sequence[str], place: StagingOptions
) -> str:
    """The statement; it holds a secret where the storage is reached by one, since no value can be
    bound in it.
    """
    files = ",\n  ".join(_text(each) for each in addresses)
    options = ["FILE_TYPE = 'PARQUET'", *_credential(place)]
    return (
        f"COPY INTO {into.quoted} ({names(columns, quote)})\nFROM\n  {files}\nWITH (\n  "
        + ",\n  ".join(options)
        + "\n)"
    )


def _credential(place: StagingOptions) -> list[str]:
    """How the Warehouse gets at the files: as the one who runs the statement, unless told so."""
    if place.sas:
        return [_secret("Shared Access Signature", place.sas.removeprefix("?"))]
    return [_secret("Storage Account Key", place.account_key)] if place.account_key else []


def _secret(identity: str, secret: str) -> str:
    return f"CREDENTIAL = (IDENTITY = {_text(identity)}, SECRET = {_text(secret)})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

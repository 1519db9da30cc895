"""Removes a table that was made to try a connection, and what its ledger says of it.

The contract of a `Destination` has no way to remove a table, so that no mistake of a run ever does.
This can, by what the destinations are made of, and takes the names of trials alone.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_core.connectors.registry import CONNECTORS, open_destination
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from copy_core.connectors.options import Connection
    from copy_core.model import Target

TRIAL = "copyjob_doctor_"
"""How the name of every table begins that may be removed; hexadecimal digits follow."""

_ON_TRIAL = re.compile(f"{TRIAL}[0-9a-f]+")


def check_discards(connection: Connection) -> None:
    """Makes sure that `discard` knows the connector, before a table is made there.

    Raises:
        ConfigError: it does not.
    """
    if CONNECTORS[connection.type].module not in _DISCARD:
        raise ConfigError(
            f"nothing is written on trial to {connection.type}: a table that is made there could"
            " not be removed",
            fix="Try it with a job of one small table",
            code="trial-not-offered",
        )


def discard(connection: Connection, target: Target) -> None:
    """Removes a table, what its ledger says of it, and nothing else. Safe to call again.

    Args:
        connection: where it is.
        target: a target that it was written by.

    Raises:
        ConfigError: it is no table of a trial, or the right to remove it is missing.
    """
    check_discards(connection)
    if not _ON_TRIAL.fullmatch(target.object):
        raise ConfigError(
            "it was not made on trial, so it is not removed",
            code="not-on-trial",
            table=target.object,
        )
    with open_destination(connection) as destination:
        _DISCARD[CONNECTORS[connection.type].module](destination, target)


def _memory(destination: Any, target: Target) -> None:
    kept = destination._store
    with kept.lock:
        kept.drop(target.object)
        for key in [key for key in kept.ledger if key.object == target.object]:
            del kept.ledger[key]


def _sqlite(destination: Any, target: Target) -> None:
    from copy_core.connectors.sql.sqlite_statements import LEDGER_FORGET
    from copy_core.connectors.sql.text import quote

    db = destination._db
    with db.transaction():
        db.run(f"DROP TABLE IF EXISTS {quote(target.object)}")
        db.run(LEDGER_FORGET, (target.job, target.table, target.object))


def _mssql(destination: Any, target: Target) -> None:
    from copy_core.connectors.sql.mssql.ledger import Ledger
    from copy_core.connectors.sql.mssql.target_table import spelled

    db = destination._db
    with db.transaction():
        if (name := spelled(db, target.object)) is not None:
            db.run(f"DROP TABLE {name.quoted}")
            Ledger(db, target.job, target.table, name).forget()


def _warehouse(destination: Any, target: Target) -> None:
    from copy_core.connectors.sql.fabric_warehouse.ledger import ledger_of
    from copy_core.connectors.sql.mssql.target_table import named

    # The ledger is this table's alone, and there before the table is.
    table = named(destination._db, target.object)
    for name in (table, ledger_of(table)):
        destination._db.run(f"DROP TABLE IF EXISTS {name.quoted}")


def _delta(destination: Any, target: Target) -> None:
    from pyarrow.fs import FileSelector

    from copy_core.connectors.delta.faults import faults
    from copy_core.connectors.delta.parquet import remove

    lake = destination._lake
    if lake.local is not None:
        _remove_folder(lake.local / target.object)
        return
    files = lake.files(target.object)
    with faults(table=target.object):
        found = files.get_file_info(FileSelector("", recursive=True, allow_not_found=True))
    remove(files, [info.path for info in found if info.is_file])


def _files(destination: Any, target: Target) -> None:
    from copy_core.connectors.files.stores.local import LocalStore

    store = destination._store
    if isinstance(store, LocalStore):
        _remove_folder(Path(store.label, target.object))
        return
    store.remove([entry.key for entry in store.list(f"{target.object}/")])


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


# By the connector's module, which its flavours share.
_DISCARD: dict[str, Callable[[Any, Target], None]] = {
    "memory": _memory,
    "sql.sqlite": _sqlite,
    "sql.mssql": _mssql,
    "sql.fabric_warehouse": _warehouse,
    "delta": _delta,
    "files.connector": _files,
}

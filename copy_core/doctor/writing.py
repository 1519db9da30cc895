"""The checks that write, and remove again what they have written."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

from copy_core.connectors import registry
from copy_core.connectors.discard import TRIAL, check_discards
from copy_core.connectors.file_options import FileOptions
from copy_core.connectors.files.objects import ObjectDestination
from copy_core.doctor import objects, rows
from copy_core.doctor.trial import Prepared, Trial
from copy_core.job import WriteMode

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination
    from copy_core.connectors.options import Connection
    from copy_core.doctor.checks import Checks

# The keys of the rows that each mode writes, in the order in which modes are tried: an overwrite
# comes last, for it tells what the table holds whatever became of the others.
_IDS: dict[WriteMode, range] = {
    "append": range(1, 7),
    "upsert": range(4, 10),
    "overwrite": range(10, 13),
}


def try_writing(connection: Connection, checks: Checks) -> None:
    """Makes the checks that write.

    Args:
        connection: where to.
        checks: makes them.
    """
    connection = _told(connection)
    opened = checks.run("open to write", lambda: _opened(connection), _offers)
    if opened is None:
        return
    name = f"{TRIAL}{secrets.token_hex(6)}"
    with opened as destination:
        if isinstance(destination, ObjectDestination):
            objects.try_writing(destination, name, checks)
            return
        modes, trial = _modes(destination), Trial(connection, destination, name)
        try:
            _try_table(trial, modes, checks)
        finally:
            checks.run("remove", lambda: trial.remove(len(modes), modes[0]))


def _try_table(trial: Trial, modes: list[WriteMode], checks: Checks) -> None:
    """The first load, step by step, then the other modes at once."""
    mode = modes[0]
    prepared = checks.run("prepare", lambda: trial.prepare(mode), partial(_prepares, trial.name))
    if prepared is None:
        return
    first = rows.of(_IDS[mode])
    commit = checks.run(
        "stage", lambda: trial.stage(1, mode, first), lambda staged: f"{staged.rows} rows"
    )
    if commit is None:
        return
    published = checks.run(
        "publish", lambda: trial.publish(commit, first), lambda done: f"{mode}, {done.rows} rows"
    )
    if published is None:
        return
    checks.run("read back", trial.compare)
    checks.run("publish again", lambda: trial.publish_again(commit, published))
    for sequence, other in enumerate(modes[1:], 2):
        arriving = rows.of(_IDS[other], turn=sequence)
        checks.run(other, partial(trial.write, sequence, other, arriving))


def _opened(connection: Connection) -> Destination:
    check_discards(connection)
    return registry.open_destination(connection)


def _told(connection: Connection) -> Connection:
    """The connection, its text files told the types of our columns, and read as they are written:
    with a header, in UTF-8.
    """
    if not isinstance(connection, FileOptions) or connection.format not in ("csv", "jsonl"):
        return connection
    csv = connection.csv.model_copy(update={"header": True, "encoding": "utf-8"})
    return connection.model_copy(update={"types": rows.column_types(), "csv": csv})


def _modes(destination: Destination) -> list[WriteMode]:
    return [mode for mode in _IDS if mode in destination.capabilities.modes]


def _offers(destination: Destination) -> str:
    return ", ".join(_modes(destination))


def _prepares(name: str, prepared: Prepared) -> str:
    says = [f"{name}, {len(prepared.columns)} columns"]
    return "; ".join([*says, *(f"not {name}: {why}" for name, why in prepared.refused.items())])

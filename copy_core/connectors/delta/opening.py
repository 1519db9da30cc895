"""Opens what a copy reads of a table: a version of it, or what a window of versions brought."""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable

from copy_core.connectors.base import near
from copy_core.connectors.delta import log
from copy_core.connectors.delta.changes import changed
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.protocol import check_readable
from copy_core.connectors.delta.scan import Scan
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.delta.versions import COMMIT_VERSION, Pin, hidden, span
from copy_core.errors import ConfigError, TerminalError
from copy_core.watermark import Window


def open_pinned(lake: Lake, name: str, pin: Pin | None) -> DeltaTable:
    """A table at the version that was pinned, or as it is now.

    Raises:
        ConfigError: there is no such table (`table-missing`), or it cannot be read.
        TerminalError: that version of that table is gone (`source-changed`).
    """
    with faults(table=name):
        table = _now(lake, name) if pin is None else _then(lake, name, pin)
        check_readable(table, name)
        return table


def hides(table: DeltaTable, column: str | None) -> bool:
    """Whether a column is `COMMIT_VERSION`, and not the table's own of that name."""
    return column in hidden(pa.schema(table.schema().to_arrow())).names


def scan_versions(lake: Lake, name: str, table: DeltaTable, window: Window, *, again: bool) -> Scan:
    """What there is to read in a window of `COMMIT_VERSION`.

    Args:
        lake: where the table is.
        name: its name.
        table: the version that was pinned; by a `delay` the window ends before it.
        window: the window.
        again: whether rows may come again that were copied before.

    Raises:
        ConfigError: the log no longer tells (`log-expired`), a file of the window was vacuumed
            (`file-vacuumed`), or rows would come again and must not (`rows-rewritten`).
        TerminalError: the version that a first load ends at is gone (`source-changed`).
    """
    wanted = span(window)
    with faults(table=name):
        if isinstance(wanted, int):
            then = table if wanted == table.version() else _then(lake, name, Pin(wanted))
            check_readable(then, name)
            adds = pa.table(then.get_add_actions(flatten=True))
            versions = pa.repeat(pa.scalar(wanted, pa.int64()), adds.num_rows)
            adds = adds.append_column(COMMIT_VERSION, versions)
        else:
            files = lake.files(name)
            added = changed(log.commits(files, name, wanted), again=again)
            log.check_there(files, name, added)
            schema = pa.schema(table.schema().to_arrow())
            by = pa.schema([schema.field(column) for column in table.metadata().partition_columns])
            adds = log.as_adds(added, by)
    return Scan(lake, name, table, adds)


def check_current(lake: Lake, name: str, path: str) -> None:
    """Tells a file that is missing because it left the table from one that the table lacks.

    Args:
        lake: where the table is.
        name: its name.
        path: the missing file, below the table's folder.

    Raises:
        TerminalError: the table no longer names the file (`source-changed`).
    """
    scan = Scan(lake, name, open_pinned(lake, name, None))
    if path not in {file.path for file in scan.files}:
        raise _gone("a file left it after the copy was planned, and was vacuumed").at(
            table=name, file=path
        )


def _now(lake: Lake, name: str) -> DeltaTable:
    table = lake.open(name)
    if table is None:
        raise ConfigError(
            "there is no such Delta table",
            fix=near(name, lake.tables()),
            code="table-missing",
        )
    return table


def _then(lake: Lake, name: str, pin: Pin) -> DeltaTable:
    try:
        table = lake.open(name, pin.version)
    except TerminalError:
        table = None
    if table is None:
        _now(lake, name)  # Whatever else is wrong with the table is told by this.
        raise _gone(f"version {pin.version}, for which the copy was planned, is gone from its log")
    if pin.table not in ("", Pin.of(table).table):
        raise _gone("it was dropped and made anew after the copy was planned")
    return table


def _gone(what: str) -> TerminalError:
    return TerminalError(
        f"the table is not the one that it was: {what}",
        fix="Run again: the next run plans the copy anew",
        code="source-changed",
    )

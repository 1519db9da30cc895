"""What is done for a table once a copy into it is committed, where its connection asks for it.

No row changes by it, so the copy is whole without: what stands in the way, such as another writer,
is logged, and the next copy tries again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from copy_core.connectors.delta import compaction, ledger
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.parquet import remove
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.delta_table_options import RETENTION, TableOptions, retention
from copy_core.errors import ConfigError, CopyJobError

_log = logging.getLogger("copyjob")

_STAGED = re.compile(rf"{ledger.FOLDER}/([^/]+)/(\d+)/[^/]+")
# https://github.com/delta-io/delta/blob/master/PROTOCOL.md: where each writer puts such files.
_FEED = "_change_data/"


def look_after(lake: Lake, name: str, options: TableOptions) -> None:
    """Writes small files of a table together, and removes old ones, as far as options ask for it.

    Args:
        lake: where the table is.
        name: its name.
        options: what is asked for.
    """
    span = options.vacuum if isinstance(options.vacuum, timedelta) else None
    if options.optimize:
        _try(lambda: compaction.compact(lake, name), "small files were not written together")
    if span is not None:
        _try(lambda: vacuum(lake, name, span), "files that left the table were not removed")


def vacuum(lake: Lake, name: str, span: timedelta) -> None:
    """Removes files that left a table longer ago than the table itself keeps them for.

    They are deleted one by one, which every store takes. Besides what the log says of files that
    left, our own folder is looked through: logs forget such files with the next checkpoint. What
    others wrote and never committed is left to them.

    Args:
        lake: where the table is.
        name: its name.
        span: for how long they must have been kept, at least.

    Raises:
        ConfigError: the table does not keep them for so long.
    """
    if (table := lake.open(name)) is None:
        return
    kept = retention(table.metadata().configuration)
    if kept is None or kept < span:
        raise ConfigError(
            f"the table keeps files for {kept or 'a span that is not understood'}, and `vacuum`"
            f" says {span}",
            fix=f"Set {RETENTION} of the table to no less than `vacuum`",
            code="vacuum-span",
            table=name,
        )
    files = lake.files(name)
    newest = ledger.newest(files)
    with faults(table=name):
        left = table.vacuum(dry_run=True)
        unused = table.vacuum(dry_run=True, full=True)
    remove(files, sorted({*left, *(path for path in unused if is_over(path, newest))}))


def is_over(path: str, newest: Mapping[str, int]) -> bool:
    """Whether an old file that a table does not consist of was written by us, or for a change data
    feed, and nothing waits for it. Pure.

    Args:
        path: below the table's folder.
        newest: the newest sequence that each ledger has a record of, see `ledger.newest`.
    """
    if staged := _STAGED.fullmatch(path):
        return int(staged[2]) < newest.get(staged[1], 0)
    return path.startswith((f"{compaction.FOLDER}/", _FEED))


def _try(work: Callable[[], None], what: str) -> None:
    try:
        work()
    except CopyJobError as e:
        _log.warning("%s: %s", what, e)

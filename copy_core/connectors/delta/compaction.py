"""Many small files of a table into few large ones, with the same rows: in bounded memory.

delta-rs has this too, but opens each partition's folder by a path that it cannot always write, and
misreads some partition values. Where a file lies says nothing, so these lie in a folder of ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from itertools import accumulate

from copy_core.connectors.delta import commits, partitions, protocol
from copy_core.connectors.delta.parquet import Written
from copy_core.connectors.delta.rows import DataFile, Span
from copy_core.connectors.delta.scan import Scan
from copy_core.connectors.delta.storage import Lake
from copy_core.connectors.delta.writing import write
from copy_core.errors import TerminalError, TransientError

FOLDER = "copyjob/compacted"
"""Where such files go, below the table's folder."""

_SMALL_BYTES = 64 << 20
# Fewer are not worth writing all of their rows again: each row is written a few times in all.
_MANY = 16
# What one copy does of it; the rest is left to the next.
_MOST_BYTES = 4 << 30
_BATCH = 65_536
_ATTEMPTS = 5


def compact(lake: Lake, name: str) -> None:
    """Writes the small files of a table together, if there are many in a partition.

    A commit of others in between does no harm, unless it removed one of these files.

    Raises:
        ConfigError: the table has a feature that forbids it.
        TransientError: another writer has removed some of the files.
    """
    if (table := lake.open(name)) is None:
        return
    protocol.check_writable(table, name, "append")
    by = protocol.partition_columns(table)
    scan = Scan(lake, name, table)
    if by is None or scan.uncopyable:
        return
    small = chosen(scan.files)
    added: list[Written] = []
    for group in small:
        stem = f"{FOLDER}/{secrets.token_hex(8)}"
        rows = scan.data.read(map(Span, group), scan.schema.names, _BATCH)
        written = write(lake.files(name), stem, scan.schema, rows, by)
        _check_rows(name, group, written)
        added += written
    if added:
        _commit(lake, name, [file for group in small for file in group], added)


def chosen(files: Iterable[DataFile]) -> list[list[DataFile]]:
    """The files to write anew, those of a partition together. Pure.

    Args:
        files: all files of the table.
    """
    groups: dict[frozenset[tuple[str, str | None]], list[DataFile]] = {}
    for file in files:
        if file.size < _SMALL_BYTES:
            values = partitions.as_logged(file.partition)
            groups.setdefault(frozenset(values.items()), []).append(file)
    room, taken = _MOST_BYTES, []
    for group in sorted(groups.values(), key=len, reverse=True):
        small = sorted(group, key=lambda file: file.size)
        sizes = accumulate(file.size for file in small)
        fitting = [file for file, size in zip(small, sizes, strict=True) if size <= room]
        if len(fitting) >= _MANY:
            taken.append(fitting)
            room -= sum(file.size for file in fitting)
    return taken


def _commit(lake: Lake, name: str, removed: list[DataFile], added: list[Written]) -> None:
    """Puts files in the place of others, onto whatever the table is now."""
    paths = {file.path for file in removed}
    for attempt in range(1, _ATTEMPTS + 1):
        table = lake.open(name)
        if table is None:
            return
        protocol.check_writable(table, name, "append")
        there = {file.path for file in Scan(lake, name, table).files}
        if there.issuperset(file.path for file in added):
            return  # The commit was made, and its answer lost.
        if not there >= paths:
            break
        try:
            commits.rewritten(table, added, removed, lake.hooks)
        except TransientError as e:
            if e.code != "commit-conflict" or attempt == _ATTEMPTS:
                raise
        else:
            return
    raise TransientError(
        "another writer has removed some of the files meanwhile", code="commit-conflict", table=name
    )


def _check_rows(name: str, group: Iterable[DataFile], written: Iterable[Written]) -> None:
    """Holds the rows that were written against those that the log says there were."""
    counts = [file.rows for file in group]
    if None not in counts and sum(filter(None, counts)) != sum(file.rows for file in written):
        raise TerminalError(
            "the files of the table do not have as many rows as its log says",
            fix="Read the table with another engine, and RESTORE it if rows are missing",
            code="count-mismatch",
            table=name,
        )

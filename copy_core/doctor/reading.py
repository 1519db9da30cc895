"""The checks that read: what is there, what it looks like, the newest value, the first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core import plan
from copy_core.connectors import registry
from copy_core.connectors.files.objects import ObjectSource
from copy_core.doctor import objects
from copy_core.errors import ConfigError
from copy_core.model import Slice
from copy_core.schema import type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from copy_core.connectors.base import Source, TableInfo
    from copy_core.connectors.options import Connection
    from copy_core.doctor.checks import Checks
    from copy_core.job import TableCopy

_BATCH_ROWS = 1_000
_SHOWN = 5


def try_reading(
    connection: Connection, table: str | None, copied: TableCopy | None, checks: Checks
) -> None:
    """Makes the checks that read.

    Args:
        connection: where from.
        table: the table to look at; the first that is there when None.
        copied: how a job copies it, if one does.
        checks: makes them.
    """
    source = checks.run("open to read", lambda: registry.open_source(connection), _offers)
    if source is None:
        return
    with source:
        listed = checks.run("list", source.objects, _lists)
        name = table or next(iter(listed or ()), None)
        if name is None:
            return
        query = copied.query if copied else ""
        info = checks.run("describe", lambda: _described(source, name, query), _describes)
        if info is None:
            return
        column = _column(info, copied)
        if column is not None:
            checks.run("newest", lambda: _newest(source, info, copied, column))
        if isinstance(source, ObjectSource):
            objects.try_reading(source, info, checks)
        else:
            checks.run("read", lambda: _read(source, info))


def _offers(source: Source) -> str:
    offers = source.capabilities
    says = ["full", "incremental" * offers.incremental, "in parts" * offers.splits]
    return ", ".join(filter(None, says))


def _lists(names: Sequence[str]) -> str:
    if not names:
        return "reached; there is nothing yet"
    more = ", …" if len(names) > _SHOWN else ""
    return f"reached; {len(names):,} found: {', '.join(names[:_SHOWN])}{more}"


def _described(source: Source, name: str, query: str) -> TableInfo:
    info = source.describe(name, query)
    if info.rows == 0 and source.capabilities.objects:
        raise ConfigError(
            "there is no such folder or object, or nothing in it",
            fix="Name another with --table",
            code="table-missing",
            table=name,
        )
    return info


def _describes(info: TableInfo) -> str:
    says = [f"{info.object}: {', '.join(f'{f.name} {type_name(f.type)}' for f in info.schema)}"]
    says += [f"key {', '.join(info.keys)}"] if info.keys else []
    says += [f"about {info.rows:,} rows"] if info.rows is not None else []
    says += [f"{name} cannot be copied: {why}" for name, why in info.uncopyable.items()]
    return "; ".join(says)


def _column(info: TableInfo, copied: TableCopy | None) -> str | None:
    """The job's incremental column; else the first that could be one."""
    if copied is not None and copied.mode == "incremental":
        return copied.incremental_column
    return next(iter(info.watermarks), None)


def _newest(source: Source, info: TableInfo, copied: TableCopy | None, column: str) -> str:
    if copied is not None and copied.mode == "incremental":
        plan.watermark_column(copied, info)
    newest = source.newest(info, column, None)
    says = f"{column}: {newest.value if newest else 'no value yet'}"
    if column in info.schema.names and info.schema.field(column).nullable:
        says += f"; rows without one: {source.count_nulls(info, column):,}"
    return says


def _read(source: Source, info: TableInfo) -> str:
    whole = Slice(
        object=info.object,
        columns=tuple(info.schema.names),
        snapshot=info.snapshot,
        query=info.query,
    )
    first = next(source.read(whole, _BATCH_ROWS), None)
    return f"rows in the first batch: {first.num_rows:,}" if first else "no rows"

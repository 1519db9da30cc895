"""What a job may not ask for, though each of its words is right: rules between settings. Pure.

Each rule yields where, what and the fix. What only the source or the destination knows (their
columns, types, primary keys and write modes) is checked when a run plans the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from copy_core.errors import ConfigError
from copy_core.job import FILE_MODIFIED, TableCopy
from copy_core.yaml_lines import Place


class Finding(NamedTuple):
    """A rule that was broken: where, what is wrong, what to change."""

    place: Place
    what: str
    fix: str = ""


def check_tables(tables: Mapping[int, TableCopy], file: Mapping[str, Any]) -> Iterator[Finding]:
    """Checks tables, each by itself and against each other.

    Args:
        tables: the tables with their settings decided, by their position in the file.
        file: what the file says, to tell a table's own settings from the job's.
    """
    for n, table in tables.items():
        written = Written(n, file)
        yield from _modes(table, written)
        yield from _columns(table, written)
        yield from _filter(table, written)
        yield from _files(table, written)
    yield from _twice(tables)
    if tables and len(tables) == len(file["tables"]):
        yield from _unused(tables, file)
    if file.get("source") == file.get("destination"):
        for n, table in tables.items():
            if table.source == table.destination:
                yield Finding(
                    ("tables", n, "source"),
                    "would be copied onto itself",
                    "name another destination",
                )


class Written(NamedTuple):
    """Where a table's settings are written down.

    Attributes:
        number: the table's position in the file.
        file: what the file says.
    """

    number: int
    file: Mapping[str, Any]

    def at(self, *keys: str) -> Place:
        """The first of the settings that is written at the table, or else at the job."""
        own = self.file["tables"][self.number]
        for key in keys:
            if key in own:
                return ("tables", self.number, key)
        for key in keys:
            if key in self.file:
                return (key,)
        return ("tables", self.number)


def _modes(table: TableCopy, written: Written) -> Iterator[Finding]:
    if table.mode == "full":
        for key in ("lookback", "delay"):
            if getattr(table, key):
                yield Finding(written.at(key), *_nothing(key))
        return
    if not table.incremental_column:
        yield Finding(
            ("tables", written.number),
            "mode incremental needs incremental_column",
            "name the column whose value grows with every change",
        )
    if table.write == "overwrite":
        yield Finding(
            written.at("write", "mode"),
            "write overwrite with mode incremental would keep only the newest rows",
            "set write: upsert, or mode: full",
        )
    if table.write == "overwrite_partitions":
        yield Finding(
            written.at("write", "mode"),
            "write overwrite_partitions with mode incremental would keep only the newest rows of"
            " each partition",
            "set write: upsert, or mode: full with a filter that takes in whole partitions",
        )
    if table.lookback and table.write == "append":
        yield Finding(
            written.at("lookback", "write"),
            "lookback reads rows again, and write append would double them",
            "set write: upsert",
        )
    if table.nulls == "include" and table.write == "append":
        yield Finding(
            written.at("nulls", "write"),
            "nulls include reads the rows without a value in every run, and write append would"
            " double them",
            "set write: upsert, or nulls: skip",
        )


def _unused(tables: Mapping[int, TableCopy], file: Mapping[str, Any]) -> Iterator[Finding]:
    """Tables that are copied in full do not inherit these: written at the job, somebody must."""
    if all(table.mode == "full" for table in tables.values()):
        for key in ("lookback", "delay"):
            if key in file:
                yield Finding((key,), *_nothing(key))


def _nothing(key: str) -> tuple[str, str]:
    return f"{key} means nothing in mode full", "set mode: incremental"


def _columns(table: TableCopy, written: Written) -> Iterator[Finding]:
    yield from _repeated(table.keys, written.at("keys"), "is already a key")
    if table.columns is None:
        return
    place: Place = ("tables", written.number, "columns")
    names = [column.name for column in table.columns]
    called = [column.rename or column.name for column in table.columns]
    clash = "is already the name of a column at the destination"
    if not names:
        yield Finding(place, "chooses no column", "name some, or leave columns out to copy all")
    yield from _repeated(names, place, "is chosen already")
    if len(set(names)) == len(names):
        yield from _repeated(called, place, clash)
    for name in table.audit:
        if name in called:
            yield Finding((*written.at("audit"), name), clash, "give one of them another name")
    for n, column in enumerate(table.columns):
        if column.cast is not None and (wrong := unknown_type(column.cast)):
            yield Finding((*place, n, "cast"), *wrong)
    if table.write == "upsert":
        yield from _needed(table, names, written)


def _needed(table: TableCopy, names: list[str], written: Written) -> Iterator[Finding]:
    """An upsert needs its keys at the destination, and what tells the newest row of a key."""
    fix = f"add it to columns of tables[{written.number}]"
    for n, key in enumerate(table.keys):
        if key not in names:
            place = (*written.at("keys"), n)
            yield Finding(place, f"the key '{key}' is not among the columns to copy", fix)
    timed = table.incremental_column == FILE_MODIFIED and "file_modified" in table.audit.values()
    if table.incremental_column and table.incremental_column not in names and not timed:
        yield Finding(
            written.at("incremental_column"),
            f"'{table.incremental_column}' is not among the columns to copy, and write upsert"
            " tells the newest row of a key by it",
            fix,
        )


def _repeated(names: Iterable[str], place: Place, what: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for n, name in enumerate(names):
        if name in seen:
            yield Finding((*place, n), f"'{name}' {what}", "remove or rename one of them")
        seen.add(name)


def unknown_type(name: str) -> tuple[str, str] | None:
    """What is wrong with a type's name, and the fix; None when nothing is."""
    from copy_core.schema import parse_type

    try:
        parse_type(name)
    except ConfigError as e:
        return e.what, e.fix[:1].lower() + e.fix[1:]
    return None


def _filter(table: TableCopy, written: Written) -> Iterator[Finding]:
    for n, condition in enumerate(table.filter):
        place: Place = ("tables", written.number, "filter", n, "value")
        op, value = condition.op, condition.value
        if op in ("is null", "is not null"):
            if value is not None:
                yield Finding(place, f"`{op}` takes no value", "remove it")
        elif op == "in":
            if not isinstance(value, list) or not value:
                yield Finding(place, "`in` needs a list of at least one value")
        elif value is None or isinstance(value, list):
            fix = "use op: in for a list" if isinstance(value, list) else "use op: is null"
            yield Finding(place, f"`{op}` needs one value", fix)


def _files(table: TableCopy, written: Written) -> Iterator[Finding]:
    place = written.at("partition_by")
    yield from _repeated(table.partition_by, place, "makes folders already")
    if table.columns:
        arriving = {*(column.rename or column.name for column in table.columns), *table.audit}
        for n, name in enumerate(table.partition_by):
            if name not in arriving:
                what = f"'{name}' is not among the columns that arrive at the destination"
                yield Finding((*place, n), what, f"add it to columns of tables[{written.number}]")
    if table.delete_source and table.write == "overwrite":
        yield Finding(
            written.at("delete_source", "write"),
            "delete_source leaves nothing at the source, and the next write overwrite would then"
            " remove at the destination what this one copied",
            "set write: append",
        )


def _twice(tables: Mapping[int, TableCopy]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for n, table in tables.items():
        if table.source in first:
            yield Finding(
                ("tables", n, "source"),
                f"'{table.source}' is listed already, as tables[{first[table.source]}]",
                "remove one of them",
            )
        first.setdefault(table.source, n)
    # Databases and some file systems take names that differ in case for one.
    place = {n: table.destination.casefold() for n, table in tables.items()}
    wipers = Counter(place[n] for n, t in tables.items() if t.write == "overwrite")
    holders: dict[str, int] = {}
    for n, table in tables.items():
        # The same source twice has been said; its destination is the same by consequence.
        if place[n] in holders and wipers[place[n]] and first[table.source] == n:
            yield Finding(
                ("tables", n, "destination"),
                f"'{table.destination}' is also the destination of"
                f" tables[{holders[place[n]]}], and overwrite would remove its rows",
                "name another destination",
            )
        holders.setdefault(place[n], n)

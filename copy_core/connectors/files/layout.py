"""Which columns the files of a table get, and in which folders they go."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from copy_core.connectors.files import folder
from copy_core.connectors.files.format import Format, Input, format_of
from copy_core.connectors.files.partitions import check_partitions
from copy_core.errors import ConfigError
from copy_core.schema import reconcile, schema_from_json

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions
    from copy_core.connectors.files.folder import File
    from copy_core.connectors.files.store import Store
    from copy_core.model import Target

# Looking into a file is a few round trips to a store, and little work.
_LOOKS = 8
# Each part looks at the files that are there: what they were found to be is kept by their etags.
_KNOWN: dict[tuple[str, ...], pa.Schema] = {}
_MOST_KNOWN = 2_000


class Layout(NamedTuple):
    """How files are laid out.

    Attributes:
        format: their format.
        schema: their columns.
        by: the columns besides that the names of folders tell.
        file_bytes: a file that has this many bytes, about, is full.
    """

    format: Format
    schema: pa.Schema
    by: Sequence[str]
    file_bytes: int


def laid_out(store: Store, options: FileOptions, target: Target) -> tuple[pa.Schema, Layout]:
    """The schema of the batches to stage, and the layout of the files that they go into.

    Raises:
        ConfigError: the columns do not go with those of the files that are there, or with
            `partition_by`.
    """
    format_, by = format_of(options), target.partition_by
    incoming = schema_from_json(target.columns)
    check_partitions(incoming, by)
    inner = pa.schema([field for field in incoming if field.name not in by])
    existing = _existing(store, options, target, inner)
    if not existing.names:
        own, wanted = inner, inner
    else:
        wanted, added = reconcile(existing, inner, target.drift)
        kept = [
            wanted.field(field.name) if field.name in wanted.names else field.with_nullable(True)
            for field in existing
        ]
        own = pa.schema([*kept, *added])
    _check_case([*own.names, *by])
    stage = [
        wanted.field(field.name) if field.name in wanted.names else field
        for field in incoming
        if field.name in wanted.names or field.name in by
    ]
    return pa.schema(stage), Layout(format_, own, by, options.file_mb << 20)


def replaced(files: Sequence[File], name: str) -> Sequence[File]:
    """The files that an overwrite of a table replaces: all of them.

    Raises:
        ConfigError: some are in folders that are no partitions: they may be anybody's.
    """
    for file in files:
        if None in _folders(file, name):
            raise ConfigError(
                "the folder holds folders of files, whose rows an overwrite would not replace",
                fix="Write to another folder, or move these away",
                code="folder-nested",
                file=file.key,
            )
    return files


def _existing(store: Store, options: FileOptions, target: Target, incoming: pa.Schema) -> pa.Schema:
    """The columns of the files that are there, in the types that they are written in."""
    format_, name = format_of(options), target.object

    told = options.model_dump_json(include={"format", "types", "csv"})

    def schema(file: File) -> tuple[str, pa.Schema]:
        version = (store.label, told, file.key, file.etag)
        found = _KNOWN.get(version)
        if found is None:
            found = format_.schema(Input(file.key, lambda: folder.opened(store, file)))
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[version] = found
        return file.key, found

    def look() -> pa.Schema:
        files = folder.inside(store, name, format_.owns)
        if target.write == "overwrite":
            replaced(files, name)
        else:
            _check_alike(files, target)
        with ThreadPoolExecutor(_LOOKS) as pool:
            return format_.unify(list(pool.map(schema, files)))

    existing: pa.Schema = folder.settled(look)
    existing = pa.schema([f for f in existing if f.name not in target.partition_by])
    if format_.typed or not existing.names:
        return existing
    if options.format == "csv" and not options.csv.header:
        return _by_place(existing, incoming)
    return pa.schema(
        [
            incoming.field(field.name)
            if field.name in incoming.names and field.name not in options.types
            else field
            for field in existing
        ]
    )


def _check_alike(files: Sequence[File], target: Target) -> None:
    """Raises ConfigError when files lie in folders of other columns than those to come."""
    by = list(target.partition_by)
    for file in files:
        found = _folders(file, target.object)
        if found != by and (by or any(found)):
            raise ConfigError(
                f"files are there by {_listed(found)}, and the copy sorts by {_listed(by)}: no"
                " reader would take them for one table",
                fix="Set `partition_by` to how they lie, or write to another folder",
                code="partition-mixed",
                file=file.key,
            )


def _folders(file: File, name: str) -> list[str | None]:
    """The columns of the folders that a file lies in below the table's; None for one of none."""
    steps = file.key.split("/")[folder.named(name, file.key) : -1]
    return [unquote(step.partition("=")[0]) if "=" in step else None for step in steps]


def _listed(columns: Sequence[str | None]) -> str:
    return ", ".join(f"'{name}'" if name else "a folder" for name in columns) or "no column"


def _check_case(names: Sequence[str]) -> None:
    """Raises ConfigError when two columns differ only in case."""
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError(
                f"'{first}' and '{name}' differ only in case, and many readers take them for one",
                fix="Rename one of them with `rename`",
                code="column-case",
                column=name,
            )


def _by_place(existing: pa.Schema, incoming: pa.Schema) -> pa.Schema:
    """Files without a header have columns by their place alone."""
    if len(existing.names) != len(incoming.names):
        raise ConfigError(
            f"the files have {len(existing.names)} columns and no header, the copy delivers"
            f" {len(incoming.names)}",
            fix="Copy as many columns as the files have, in their order, or use a header",
            code="column-count",
        )
    return incoming

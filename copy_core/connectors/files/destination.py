"""Writes tables as folders of files; `copy_core.connectors.files.ledger` tells how they appear."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from copy_core.connectors.base import Destination, DestinationCapabilities
from copy_core.connectors.files import folder
from copy_core.connectors.files.folder import File
from copy_core.connectors.files.format import Format, Input, format_of, guarded, shaped
from copy_core.connectors.files.ledger import (
    Ledger,
    Move,
    flush_file,
    make_folder,
)
from copy_core.disk import flush_folder
from copy_core.errors import ConfigError, ConflictError, TerminalError
from copy_core.model import Commit, JsonDict, Published, Staged, Target
from copy_core.schema import reconcile, schema_from_json

if TYPE_CHECKING:
    from copy_core.connectors.options import LocalOptions

# Readers of a lake like files of some hundred megabytes; one more row group ends it.
_FILE_BYTES = 448 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


class LocalDestination(Destination):
    """Writes folders of files below a folder of this machine.

    Columns go by name. Parquet keeps the types of the files that exist; text formats know names
    only, unless the connection gives types. A new column is in new files only: readers take it as
    null in older ones.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "overwrite"}), parallel_stage=True, counts_files=True
    )

    def __init__(self, options: LocalOptions) -> None:
        self._root = Path(options.root)
        self._options = options
        self._format = format_of(options)

    def prepare(self, target: Target) -> pa.Schema:
        with guarded(table=target.object):
            ledger = self._ledger(target.object)
            with ledger.locked():
                ledger.probe()
            if target.write == "overwrite":
                self._check_flat(target.object)
            return self._schemas(target)[0]

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        with guarded(table=target.object):
            schema = self._schemas(target)[1]
            waiting = self._ledger(target.object).staging(target.job, target.table, target.sequence)
            make_folder(waiting)
        stem = f"{part:05}-{secrets.token_hex(8)}"
        done: list[_File] = []
        try:
            # The source's own errors, raised by the loop, go through unchanged.
            for batch in batches:
                with guarded(table=target.object):
                    if not done or done[-1].closed:
                        path = waiting / f"{stem}-{len(done):03}{self._format.extension}"
                        done.append(_File(path, self._format, schema))
                    done[-1].write(batch)
            with guarded(table=target.object):
                for file in done:
                    file.close()
                flush_folder(waiting)
        except BaseException:
            for file in done:
                file.abandon()
            raise
        return Staged(
            part=part,
            rows=sum(file.rows for file in done),
            bytes=sum(file.bytes for file in done),
            ref={"files": [file.to_json() for file in done]},
        )

    def publish(self, commit: Commit) -> Published:
        target = commit.target
        with guarded(table=target.object):
            ledger = self._ledger(target.object)
            with ledger.locked():
                entry = ledger.read(target.job, target.table)
                if found := entry.record(target.sequence):
                    return found
                if entry.last and entry.last.sequence > target.sequence:
                    raise ConflictError(
                        f"sequence {entry.last.sequence} was published meanwhile",
                        fix="Look for another run of the job that is still going",
                        code="sequence-passed",
                        job=target.job,
                    )
                files = self._waiting(ledger, commit)
                published = commit.published(
                    rows=commit.rows,
                    files=len(files),
                    bytes=sum(path.stat().st_size for path in files),
                )
                entry = entry.then(published, self._move(ledger, target, files))
                ledger.commit(entry)
                ledger.finish(entry)
                return published

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        with guarded(table=name):
            ledger = self._ledger(name)
            entry = ledger.read(job, table)
            if entry.pending:
                with ledger.locked():
                    return ledger.read(job, table).last
            return entry.last

    def clean(self, target: Target) -> None:
        with guarded(table=target.object):
            ledger = self._ledger(target.object)
            ledger.clean(target.job, target.table, target.sequence)

    def _ledger(self, name: str) -> Ledger:
        return Ledger(folder.located(self._root, name))

    def _files(self, name: str) -> list[File]:
        return folder.inside(self._root, name, self._format.owns)

    def _input(self, file: File) -> Input:
        return Input(file.name, lambda: folder.opened(self._root, file))

    def _check_flat(self, name: str) -> None:
        here = PurePosixPath(name)
        if nested := [f for f in self._files(name) if PurePosixPath(f.name).parent != here]:
            raise ConfigError(
                "the folder holds folders of files, whose rows an overwrite would not replace",
                fix="Write to another folder, or move these away",
                code="folder-nested",
                file=nested[0].name,
            )

    def _schemas(self, target: Target) -> tuple[pa.Schema, pa.Schema]:
        """The schema of batches to stage, and that of the files that they go into."""
        incoming = schema_from_json(target.columns)
        existing = self._existing(target.object, incoming)
        if not existing.names:
            return incoming, _check_case(incoming)
        stage, added = reconcile(existing, incoming, target.drift)
        kept = [
            stage.field(field.name) if field.name in stage.names else field.with_nullable(True)
            for field in existing
        ]
        return stage, _check_case(pa.schema([*kept, *added]))

    def _existing(self, name: str, incoming: pa.Schema) -> pa.Schema:
        """The columns of the files that are there, in the types that they are written in."""
        existing = folder.settled(lambda: self._unified(self._files(name)))
        if self._format.typed or not existing.names:
            return existing
        types = self._options.types
        if self._options.format == "csv" and not self._options.csv.header:
            return _by_place(existing, incoming)
        return pa.schema(
            [
                incoming.field(field.name)
                if field.name in incoming.names and field.name not in types
                else field
                for field in existing
            ]
        )

    def _unified(self, files: Sequence[File]) -> pa.Schema:
        return self._format.unify([(f.name, self._format.schema(self._input(f))) for f in files])

    def _waiting(self, ledger: Ledger, commit: Commit) -> list[Path]:
        """The staged files of a commit; one without rows where there would be none at all."""
        target = commit.target
        waiting = ledger.staging(target.job, target.table, target.sequence)
        found = []
        for staged in commit.staged:
            for file in staged.ref["files"]:
                path = waiting / file["name"]
                if not path.is_file() or path.stat().st_size != file["bytes"]:
                    raise TerminalError(
                        f"what was staged for part {staged.part} is gone or incomplete",
                        fix="Run the job again; it stages the part anew",
                        code="staged-missing",
                        job=target.job,
                        file=file["name"],
                    )
                found.append(path)
        if not found and (target.write == "overwrite" or not self._files(target.object)):
            make_folder(waiting)
            name = f"{0:05}-{secrets.token_hex(8)}-000{self._format.extension}"
            empty = _File(waiting / name, self._format, self._schemas(target)[1])
            empty.close()
            flush_folder(waiting)
            found.append(empty.path)
        return found

    def _move(self, ledger: Ledger, target: Target, files: list[Path]) -> Move:
        stem = f"{_safe(target.job)}-{_safe(target.table)}-{target.sequence:06}"
        add = {path.relative_to(ledger.folder).as_posix(): f"{stem}-{path.name}" for path in files}
        old = self._files(target.object) if target.write == "overwrite" else []
        return Move(add=add, remove=tuple(PurePosixPath(file.name).name for file in old))


class _File:
    """A staged file while it is written."""

    def __init__(self, path: Path, format_: Format, schema: pa.Schema) -> None:
        self.path = path
        self.rows = self.bytes = 0
        self.closed = False
        self._schema = schema
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = format_.writer(self._sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows; closes the file when it is large enough."""
        self._writer.write(shaped(batch, self._schema, self._schema.names))
        self.rows += batch.num_rows
        if self._sink.tell() >= _FILE_BYTES:
            self.close()

    def close(self) -> None:
        """Makes the file whole, and safe from a power cut."""
        if not self.closed:
            self._writer.close()
            self._sink.close()
            flush_file(self.path)
            self.bytes = self.path.stat().st_size
            self.closed = True

    def abandon(self) -> None:
        """Removes the file."""
        self._writer.abandon()
        with suppress(OSError):  # What could not be written is not wanted any more.
            self._sink.close()
        self.path.unlink(missing_ok=True)

    def to_json(self) -> JsonDict:
        return {"name": self.path.name, "rows": self.rows, "bytes": self.bytes}


def _check_case(schema: pa.Schema) -> pa.Schema:
    """The schema; raises ConfigError when two of its columns differ only in case."""
    seen: dict[str, str] = {}
    for name in schema.names:
        if (first := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError(
                f"'{first}' and '{name}' differ only in case, and many readers take them for one",
                fix="Rename one of them with `rename`",
                code="column-case",
                column=name,
            )
    return schema


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


def _safe(name: str) -> str:
    """A name as part of a file's name: for people, so it may be shortened."""
    return _UNSAFE.sub("_", name).strip("_")[:60] or "x"

"""Writes tables as folders of files; `copy_core.connectors.files.ledger` tells how they appear."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from copy_core.connectors.base import Destination, DestinationCapabilities
from copy_core.connectors.files import folder
from copy_core.connectors.files.format import format_of, guarded
from copy_core.connectors.files.layout import laid_out, replaced
from copy_core.connectors.files.ledger import Ledger, Move
from copy_core.connectors.files.partitions import empty_folder
from copy_core.connectors.files.staging import PartWriter
from copy_core.errors import ConflictError, TerminalError, TransientError
from copy_core.model import Commit, Published, Staged, Target

if TYPE_CHECKING:
    from copy_core.connectors.file_options import FileOptions
    from copy_core.connectors.files.folder import File
    from copy_core.connectors.files.store import Store

_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_LOOKS = 5


class FileDestination(Destination):
    """Writes folders of files below a store's root.

    Columns go by name. Parquet keeps the types of the files that exist; text formats know names
    only, unless the connection gives types. A new column is in new files only: readers take it as
    null in older ones. The columns of `partition_by` are in the names of folders, not in the files.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "overwrite"}),
        parallel_stage=True,
        counts_files=True,
        partitions=True,
    )

    def __init__(self, store: Store, options: FileOptions) -> None:
        self._store = store
        self._options = options
        self._format = format_of(options)

    def prepare(self, target: Target) -> pa.Schema:
        with guarded(table=target.object):
            self._ledger(target).probe()
            return laid_out(self._store, self._options, target)[0]

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        stem = f"{part:05}-{secrets.token_hex(8)}"
        with guarded(table=target.object):
            writer = self._writer(target, stem)
        try:
            # The source's own errors, raised by the loop, go through unchanged.
            for batch in batches:
                with guarded(table=target.object):
                    writer.write(batch)
            with guarded(table=target.object):
                writer.close()
        except BaseException:
            writer.abandon()
            raise
        ref = {"stem": stem, "files": writer.files}
        return Staged(part=part, rows=writer.rows, bytes=writer.bytes, ref=ref)

    def publish(self, commit: Commit) -> Published:
        target = commit.target
        with guarded(table=target.object):
            ledger = self._ledger(target)
            for _ in range(_LOOKS):
                page, etag = ledger.settled(target.job, target.table)
                if found := page.record(target.sequence):
                    return found
                if page.last and page.last.sequence > target.sequence:
                    raise ConflictError(
                        f"sequence {page.last.sequence} was published meanwhile",
                        fix="Look for another run of the job that is still going",
                        code="sequence-passed",
                        job=target.job,
                    )
                try:
                    files = self._waiting(ledger, commit)
                except TerminalError:
                    if ledger.read(target.job, target.table)[1] != etag:
                        continue  # Another has published just now, perhaps these very files.
                    raise
                move = self._move(ledger, target, files)
                published = commit.published(
                    rows=commit.rows, files=len(files), bytes=sum(file.size for file in files)
                )
                page = page.then(published, move)
                try:
                    etag = ledger.commit(page, etag)
                except ConflictError:
                    continue  # Another was faster, perhaps with this very sequence.
                ledger.finish(page, etag)
                return published
            raise TransientError("other writers are faster", code="folder-busy")

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        with guarded(table=name):
            return Ledger(self._store, folder.located(name)).read(job, table)[0].last

    def clean(self, target: Target) -> None:
        with guarded(table=target.object):
            self._ledger(target).clean(target.job, target.table, target.sequence)

    def close(self) -> None:
        self._store.close()

    def _ledger(self, target: Target) -> Ledger:
        return Ledger(self._store, folder.located(target.object))

    def _files(self, target: Target) -> list[File]:
        return folder.inside(self._store, target.object, self._format.owns)

    def _writer(self, target: Target, stem: str) -> PartWriter:
        layout = laid_out(self._store, self._options, target)[1]
        waits = self._ledger(target).staging(target.job, target.table, target.sequence)
        path = folder.below(folder.located(target.object), f"{waits}{stem}/")
        return PartWriter(self._store, path, layout)

    def _waiting(self, ledger: Ledger, commit: Commit) -> list[_Waiting]:
        """The staged files of a commit; one without rows where there would be none at all."""
        target = commit.target
        found = self._staged(ledger, target)
        files = []
        for staged in commit.staged:
            of_part = found.get(staged.ref["stem"], [])
            size = sum(file.size for file in of_part)
            if (len(of_part), size) != (staged.ref["files"], staged.bytes):
                raise TerminalError(
                    f"what was staged for part {staged.part} is gone or incomplete",
                    fix="Run the job again; it stages the part anew",
                    code="staged-missing",
                    job=target.job,
                    file=staged.ref["stem"],
                )
            files += of_part
        if not files and (target.write == "overwrite" or not self._files(target)):
            stem = f"{0:05}-{secrets.token_hex(8)}"
            writer = self._writer(target, stem)
            writer.empty(empty_folder(target.partition_by))
            files = self._staged(ledger, target)[stem]
        return files

    def _staged(self, ledger: Ledger, target: Target) -> dict[str, list[_Waiting]]:
        """All that waits of a sequence, by the attempts that staged it."""
        found: dict[str, list[_Waiting]] = {}
        for entry in ledger.waiting(target.job, target.table, target.sequence):
            stem, _, rest = entry.key.partition("/")
            found.setdefault(stem, []).append(_Waiting(stem, rest, entry.size))
        return found

    def _move(self, ledger: Ledger, target: Target, files: Sequence[_Waiting]) -> Move:
        """What a commit does to the folder; an overwrite, to all files of a moment at which nothing
        was pending: what is moved into place later is not its to replace.
        """
        waits = ledger.staging(target.job, target.table, target.sequence)
        prefix = f"{_safe(target.job)}-{_safe(target.table)}-{target.sequence:06}"
        add = {waits + file.path: file.placed(prefix) for file in files}
        if target.write != "overwrite":
            return Move(add=add)
        for _ in range(_LOOKS):
            before = ledger.texts()
            old = self._files(target)
            if not ledger.moves(before) and ledger.texts() == before:
                top = folder.below(folder.located(target.object), "")
                remove = [file.key.removeprefix(top) for file in replaced(old, target.object)]
                return Move(add=add, remove=tuple(remove))
            ledger.settled(target.job, target.table)
        raise TransientError("others write to the folder all the time", code="folder-busy")


class _Waiting(NamedTuple):
    """A file that waits to be published.

    Attributes:
        stem: the attempt that staged it.
        rest: its path below: the folders of a partition, and a number.
        size: bytes.
    """

    stem: str
    rest: str
    size: int

    @property
    def path(self) -> str:
        return f"{self.stem}/{self.rest}"

    def placed(self, prefix: str) -> str:
        """Its path below the table's folder once it is published."""
        partition, _, name = self.rest.rpartition("/")
        return folder.below(partition, f"{prefix}-{self.stem}-{name}")


def _safe(name: str) -> str:
    """A name as part of a file's name: for people, so it may be shortened."""
    return _UNSAFE.sub("_", name).strip("_")[:60] or "x"

"""The ledger of a folder of files: what was published, and a move that is not finished yet.

Below a folder `orders` lies, out of the sight of readers (Spark, Fabric, DuckDB, pyarrow and we
ignore names with a leading underscore):

    orders/_copyjob/lock                         held while files move or the ledger changes
    orders/_copyjob/ledger/<key>.json            one for each (job, table) that writes here
    orders/_copyjob/staging/<key>/<sequence>/    parts that wait to be published

The ledger file is replaced in one step (written aside, flushed to the disk, renamed), and that
is the commit: it holds the last records and, as `pending`, which staged files become which files
of the folder and which files go. Only then are files moved, the new ones first; whoever comes
next finishes the move if its process died. An object store does the same with one conditional
put of the ledger object in place of the lock.

What readers see: `LocalSource` reads the ledger too, so it sees the rows before or after the
commit and nothing between. A reader that just lists the folder sees whole files only; for the
moment of the move, or until the next run after a crash, it may see some of an append's files, and
of an overwrite all of the old files or all of the new with some of the others: never neither.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field, ValidationError

from copy_core import disk
from copy_core.disk import flush_folder
from copy_core.errors import TerminalError
from copy_core.model import JsonDict, Published, Record

AREA = "_copyjob"
_KEPT = 8


class Move(Record):
    """A commit's effect on the folder.

    Attributes:
        add: what each staged file, by its path below the folder, will be called.
        remove: names of files that are no longer part of the table.
    """

    add: JsonDict = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Entry(Record):
    """The ledger of one (job, table).

    Attributes:
        job: the job.
        table: the table's name in the job.
        published: the newest records, oldest first.
        pending: what is left to do of the newest; None when its files lie where they belong.
    """

    job: str
    table: str
    published: tuple[Published, ...] = ()
    pending: Move | None = None

    @property
    def last(self) -> Published | None:
        return self.published[-1] if self.published else None

    def record(self, sequence: int) -> Published | None:
        """The record of a sequence, where it is still kept."""
        return next((p for p in self.published if p.sequence == sequence), None)

    def then(self, published: Published, move: Move) -> Entry:
        """The ledger after one more commit."""
        kept = (*self.published, published)[-_KEPT:]
        return self.model_copy(update={"published": kept, "pending": move})


class Ledger:
    """The ledgers of one folder.

    Args:
        folder: the folder; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ledgers = folder / AREA / "ledger"

    def read(self, job: str, table: str) -> Entry:
        """The ledger of (job, table), an empty one if there is none."""
        path = self._path(job, table)
        try:
            return _parsed(path.read_bytes(), path)
        except (FileNotFoundError, NotADirectoryError):
            return Entry(job=job, table=table)

    def texts(self) -> dict[str, bytes]:
        """The text of every ledger by its file's name; it changes with every commit and move."""
        try:
            paths = sorted(self._ledgers.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {p.name: p.read_bytes() for p in paths if p.suffix == ".json"}

    def moves(self, texts: dict[str, bytes]) -> list[Move]:
        """The moves that are not finished, of ledgers as `texts` gave them."""
        entries = [_parsed(text, self._ledgers / name) for name, text in texts.items()]
        return [entry.pending for entry in entries if entry.pending]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other writers of the folder out, and finishes what a dead one left.

        The operating system lets the lock go when its process ends, however it ends.
        """
        make_folder(self._ledgers)
        with disk.locked(self.folder / AREA / "lock"):
            for name, text in self.texts().items():
                entry = _parsed(text, self._ledgers / name)
                if entry.pending:
                    self.finish(entry)
            yield

    def probe(self) -> None:
        """Tries whether the folder can be written to. Only while locked."""
        aside = self._ledgers / f".{secrets.token_hex(8)}.tmp"
        try:
            aside.write_bytes(b"probe")
        finally:
            aside.unlink(missing_ok=True)

    def commit(self, entry: Entry) -> None:
        """Replaces a ledger in one step that survives a power cut. Only while locked."""
        text = json.dumps(entry.to_json(), indent=1)
        disk.replace(self._path(entry.job, entry.table), text.encode())

    def finish(self, entry: Entry) -> None:
        """Moves the files of a commit to their places. Only while locked."""
        move = entry.pending or Move()
        for staged, name in move.add.items():
            with suppress(FileNotFoundError):  # It was moved before its mover died.
                (self.folder / staged).rename(self.folder / name)
        flush_folder(self.folder)
        for name in move.remove:
            (self.folder / name).unlink(missing_ok=True)
        flush_folder(self.folder)
        self.commit(entry.model_copy(update={"pending": None}))

    def staging(self, job: str, table: str, sequence: int) -> Path:
        """Where the parts of a sequence wait."""
        return self.folder / AREA / "staging" / key_of(job, table) / f"{sequence:012}"

    def clean(self, job: str, table: str, sequence: int) -> None:
        """Removes the staging of (job, table) up to a sequence, and torn ledger writes."""
        if not (self.folder / AREA).is_dir():
            return
        with self.locked():
            for torn in self._ledgers.glob(".*.tmp"):
                torn.unlink(missing_ok=True)
            last = self.staging(job, table, sequence)
            for waiting in last.parent.iterdir() if last.parent.is_dir() else ():
                if waiting.name <= last.name:
                    shutil.rmtree(waiting)

    def _path(self, job: str, table: str) -> Path:
        return self._ledgers / f"{key_of(job, table)}.json"


def key_of(job: str, table: str) -> str:
    """A file name that stands for (job, table) alone."""
    return hashlib.sha256(json.dumps([job, table]).encode()).hexdigest()[:20]


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, so that they survive a power cut."""
    if path.is_dir():
        return
    if path.is_file():
        raise NotADirectoryError(errno.ENOTDIR, "a file lies where a folder should be", str(path))
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush_folder(path.parent)


def flush_file(path: Path) -> None:
    """Makes a file's bytes survive a power cut."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _parsed(text: bytes, path: Path) -> Entry:
    try:
        return Entry.model_validate_json(text)
    except ValidationError as e:
        raise TerminalError(
            "the ledger of the folder is damaged",
            fix="Restore the file from a backup; without it, what was published is not known",
            code="ledger-damaged",
            file=str(path),
        ) from e

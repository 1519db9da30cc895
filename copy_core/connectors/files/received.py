"""Receives objects as they are, below a folder of a store.

An object gets its final name at once: each put is atomic, and doing it again is harmless. What a
part has placed is written down below `_copyjob/staging`, and the commit is the conditional put of
the ledger's page. Only after it, an overwrite removes what the copy has not placed; whoever comes
next does so too, until it is written down that it was done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.base import Destination, DestinationCapabilities
from copy_core.connectors.files.agreement import Agreed, Agreement, ledger_of
from copy_core.connectors.files.carry import carry
from copy_core.connectors.files.ledger import Ledger, Move
from copy_core.connectors.files.manifest import (
    Manifest,
    Placed,
    from_json,
    merged,
    once,
    strangers,
    to_json,
)
from copy_core.connectors.files.parcel import Errand
from copy_core.connectors.files.places import folder_of
from copy_core.connectors.files.store import AREA, confined
from copy_core.errors import ConfigError, ConflictError, TerminalError, TransientError
from copy_core.model import Commit, Published, Staged, Target
from copy_core.schema import schema_from_json

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.file_options import FileOptions
    from copy_core.connectors.files.objects import ObjectSource
    from copy_core.connectors.files.store import Entry, Store
    from copy_core.model import Slice


class Received(NamedTuple):
    """A part that was carried over.

    Attributes:
        staged: what was placed, as the destination counted it.
        objects: how many objects were read.
        bytes: their size.
    """

    staged: Staged
    objects: int
    bytes: int


class ObjectDestination(Destination):
    """Writes objects below a store's root.

    Args:
        store: where they go.
        options: the connection's options.
    """

    capabilities = DestinationCapabilities(
        modes=frozenset({"append", "overwrite"}),
        parallel_stage=True,
        counts_files=True,
        objects=True,
    )

    def __init__(self, store: Store, options: FileOptions) -> None:
        del options
        self.store = store

    def prepare(self, target: Target) -> pa.Schema:
        self._ledger(target.object).probe()
        if target.write == "overwrite":
            self._check_alone(target.object)
        return schema_from_json(target.columns)

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Refused: rows have no objects; see `receive`."""
        del part, batches
        raise ConfigError(
            "the destination takes files as they are, and was given rows",
            fix="Set the connection's `format` to the one that the rows are to be written in",
            code="objects-wanted",
            table=target.object,
        )

    def receive(
        self,
        target: Target,
        part: int,
        source: ObjectSource,
        wanted: Slice,
        check: Callable[[], None],
        tell: Callable[[int, int], None],
    ) -> Received:
        """Carries the objects of a part over; in place of `stage`, and as often.

        Args:
            target: where to; `prepare` has passed for it.
            part: the part's number.
            source: where they are.
            wanted: which they are.
            check: raises when the work must stop.
            tell: is told of objects and bytes as they go through.

        Raises:
            ConfigError: two objects would have one name, or one a name that leads elsewhere.
            TransientError: an object changes all the time, or a service does not answer.
        """
        folder = folder_of(target.object)
        listed = left = size = placed_bytes = 0

        def items() -> Iterator[tuple[Entry, str]]:
            nonlocal listed
            for entry, path in source.entries(wanted):
                listed += 1
                name = path.rpartition("/")[2] if target.flatten else path
                yield entry, confined(folder + name)

        stem = f"{self._agreement(target).folder}{part:05}-{secrets.token_hex(8)}"
        manifest = Manifest(self.store, stem)
        errand = Errand(source.store, self.store, source.keeps(wanted), check, tell)
        for entry, placed in carry(errand, items()):
            if placed is None:
                left += 1
                continue
            manifest.add(Placed(placed.key, entry.key, entry.etag))
            size, placed_bytes = size + entry.size, placed_bytes + placed.size
        manifest.flush()
        staged = Staged(
            part=part,
            rows=manifest.count,
            bytes=placed_bytes,
            ref={"runs": to_json(manifest.runs)},
        )
        return Received(staged, listed - left, size)

    def publish(self, commit: Commit) -> Published:
        target = commit.target
        ledger = self._ledger(target.object)
        page, etag = ledger.read(target.job, target.table)
        published = page.record(target.sequence)
        if published is None:
            if page.last and page.last.sequence > target.sequence:
                raise ConflictError(
                    f"sequence {page.last.sequence} was published meanwhile",
                    fix="Look for another run of the job that is still going",
                    code="sequence-passed",
                    job=target.job,
                )
            runs = [run for part in commit.staged for run in from_json(part.ref["runs"])]
            count = sum(1 for _ in once(merged(self.store, runs)))
            size = sum(part.bytes for part in commit.staged)
            published = commit.published(rows=count, files=count, bytes=size)
            if count != commit.rows:
                raise TerminalError(
                    f"{commit.rows} objects were staged, and {count} are written down",
                    fix="Nothing was committed; run the job again",
                    code="staged-missing",
                    job=target.job,
                )
            done = target.write != "overwrite"
            self._agreement(target).write(commit.plan_id, runs, done=done)
            try:
                page = page.then(published, Move()).model_copy(update={"pending": None})
                ledger.commit(page, etag)
            except ConflictError as e:
                raise TransientError(
                    "another writer was faster", code="ledger-changed", job=target.job
                ) from e
        if agreed := self._agreement(target).read():
            self._mirror(target, agreed)
        return published

    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        page, _ = self._ledger(name).read(job, table)
        return page.last

    def copied(self, target: Target) -> Iterator[Placed]:
        """What the commit of a sequence has placed; nothing once that was cleaned up."""
        agreed = self._agreement(target).read()
        return merged(self.store, agreed.runs) if agreed else iter(())

    def clean(self, target: Target) -> None:
        if agreed := self._agreement(target).read():
            self._mirror(target, agreed)
        self._ledger(target.object).clean(target.job, target.table, target.sequence)

    def close(self) -> None:
        self.store.close()

    def _ledger(self, name: str) -> Ledger:
        return ledger_of(self.store, name)

    def _agreement(self, target: Target) -> Agreement:
        return Agreement(self.store, target)

    def _mirror(self, target: Target, agreed: Agreed) -> None:
        """Removes what an overwrite has not placed. What came after the commit stays, also at this
        very moment: if we slept since, a later copy may have placed it.
        """
        if agreed.done:
            return
        others = strangers(self._below(target.object), merged(self.store, agreed.runs))
        old = (entry for entry in others if entry.modified <= agreed.since)
        self.store.discard((entry.key, entry.etag) for entry in old)
        self._agreement(target).write(agreed.plan_id, agreed.runs, done=True)

    def _below(self, name: str) -> Iterator[Entry]:
        """The objects below a folder, but for those of its ledger."""
        folder = folder_of(name)
        own = f"{folder}{AREA}/"
        return (entry for entry in self.store.list(folder) if not entry.key.startswith(own))

    def _check_alone(self, name: str) -> None:
        """Refuses to overwrite a folder when other copies write below it."""
        for entry in self._below(name):
            if f"/{AREA}/ledger/" in entry.key:
                raise ConfigError(
                    "another copy writes to a folder in this one, and an overwrite would remove it",
                    fix="Write to another folder, or use `write: append`",
                    code="folder-nested",
                    table=name,
                    file=entry.key.partition(f"/{AREA}/")[0],
                )

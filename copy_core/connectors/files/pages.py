"""The pages of a ledger: what one (job, table) has published into a folder, and what is pending."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from copy_core.model import JsonDict, Published, Record

_KEPT = 8


class Move(Record):
    """A commit's effect on the folder.

    Attributes:
        add: what each staged file, by its path below the folder, will be called there.
        remove: paths below the folder of files that are no longer part of the table.
    """

    add: JsonDict = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Page(Record):
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

    def then(self, published: Published, move: Move) -> Page:
        """The page after one more commit."""
        kept = (*self.published, published)[-_KEPT:]
        return self.model_copy(update={"published": kept, "pending": move})


def key_of(job: str, table: str) -> str:
    """A name that stands for (job, table) alone."""
    return hashlib.sha256(json.dumps([job, table]).encode()).hexdigest()[:20]

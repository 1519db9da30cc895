"""The ledger of a folder of files: what was published, and a move that is not finished yet.

Below a folder `orders` lies, out of the sight of readers (Spark, Fabric, DuckDB, pyarrow and we
ignore names with a leading underscore):

    orders/_copyjob/ledger/<key>.json            a page for each (job, table) that writes here
    orders/_copyjob/staging/<key>/<sequence>/    parts that wait to be published

A page is replaced by one conditional put, and that is the commit: it holds the last records and, as
`pending`, which staged files become which files of the folder and which files go. Only then are
files moved, the new ones first; whoever comes next finishes the move if its process died, and two
who do so at once do no harm. Nothing is locked: of two who change a page, the store refuses one,
who looks again.

Staged files that might still be published are removed by such a pending move too, so that a
commit finds out: it is refused, finishes the removal, and misses its files before it has
promised anything.

What readers see: our own source reads the ledger too, so it sees the rows before or after the
commit and nothing between. A reader that just lists the folder sees whole files only; for the
moment of the move, or until the next run after a crash, it may see some of an append's files, and
of an overwrite all of the old files or all of the new with some of the others: never neither.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from pydantic import ValidationError

from copy_core.connectors.files.pages import Move, Page, key_of
from copy_core.connectors.files.store import AREA, NOTHING, Entry, Store
from copy_core.errors import ConflictError, TerminalError, TransientError

__all__ = ["Ledger", "Move", "Page", "key_of"]

_TRIES = 20
# A move is a request or two to an object store, or a flush to a disk that serves many at once.
_MOVERS = 16


class Ledger:
    """The ledger of one folder.

    Args:
        store: where the folder is.
        name: its path below the store's root; "" is the root. It need not exist yet.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._folder = f"{name}/" if name else ""
        self._pages = f"{self._folder}{AREA}/ledger/"

    def read(self, job: str, table: str) -> tuple[Page, str]:
        """The page of (job, table), an empty one if there is none, and its etag to commit by. What
        it had pending is finished.
        """
        for _ in range(_TRIES):
            page, etag = self._page(job, table)
            if page.pending is None:
                return page, etag
            self.finish(page, etag)
        raise self._busy()

    def settled(self, job: str, table: str) -> tuple[Page, str]:
        """The same, once what all others had pending is finished too."""
        for name, text in self.texts().items():
            page = self._parsed(text, name)
            if page.pending:
                self.read(page.job, page.table)
        return self.read(job, table)

    def texts(self) -> dict[str, bytes]:
        """The text of every page by its name; it changes with every commit and move."""
        names = [e.key.removeprefix(self._pages) for e in self._store.list(self._pages)]
        found = [(name, self._text(name)) for name in names if name.endswith(".json")]
        return {name: text[0] for name, text in found if text}

    def moves(self, texts: dict[str, bytes]) -> list[Move]:
        """The moves that are not finished, of pages as `texts` gave them."""
        pages = [self._parsed(text, name) for name, text in texts.items()]
        return [page.pending for page in pages if page.pending]

    def probe(self) -> None:
        """Tries whether the folder may be written to; leaves nothing behind."""
        key = f"{self._folder}{AREA}/probe-{secrets.token_hex(8)}"
        self._store.put(key, b"probe")
        self._store.remove([key])

    def commit(self, page: Page, etag: str) -> str:
        """Replaces a page in one step.

        Args:
            page: the page.
            etag: that of the page that this one follows from.

        Returns:
            Its own etag.

        Raises:
            ConflictError: somebody else has changed the page since (`etag-changed`).
        """
        text = json.dumps(page.to_json(), indent=1).encode()
        name = f"{key_of(page.job, page.table)}.json"
        return self._store.put(self._pages + name, text, etag).etag

    def finish(self, page: Page, etag: str) -> None:
        """Carries out what a page has pending; nothing if somebody did, or does it meanwhile."""
        if page.pending is None:
            return
        move = page.pending
        with ThreadPoolExecutor(min(_MOVERS, len(move.add)) or 1) as pool:
            done = [
                pool.submit(self._store.move, self._folder + staged, self._folder + name)
                for staged, name in move.add.items()
            ]
            for each in done:
                each.result()
        # Who slept since and goes on after others must not remove what has come since by a name.
        if move.remove and self._page(page.job, page.table)[1] != etag:
            return
        self._store.remove(self._folder + name for name in move.remove)
        with suppress(ConflictError):  # Somebody else has finished it.
            self.commit(page.model_copy(update={"pending": None}), etag)

    def staging(self, job: str, table: str, sequence: int) -> str:
        """The path below the folder where the parts of a sequence wait; ends in a slash."""
        return f"{AREA}/staging/{key_of(job, table)}/{sequence:012}/"

    def waiting(self, job: str, table: str, sequence: int) -> Iterator[Entry]:
        """What waits there, by its path below."""
        folder = self._folder + self.staging(job, table, sequence)
        for entry in self._store.list(folder):
            yield entry._replace(key=entry.key.removeprefix(folder))

    def clean(self, job: str, table: str, sequence: int) -> None:
        """Removes the staging of (job, table) up to a sequence."""
        for _ in range(_TRIES):
            page, etag = self.read(job, table)
            last = page.last.sequence if page.last else 0
            over, still = self._left(job, table, min(last, sequence), sequence)
            self._store.remove(self._folder + path for path in over)
            if not still:
                return
            page = page.model_copy(update={"pending": Move(remove=still)})
            with suppress(ConflictError):  # Perhaps it was published just now: look again.
                self.finish(page, self.commit(page, etag))
                return
        raise self._busy()

    def _left(
        self, job: str, table: str, last: int, sequence: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What waits of the sequences up to `last`, which no commit will ask for any more, and up
        to `sequence`, which one may.
        """
        over, still = list[str](), list[str]()
        folder = f"{AREA}/staging/{key_of(job, table)}/"
        for entry in self._store.list(self._folder + folder):
            path = entry.key.removeprefix(self._folder)
            number = path.removeprefix(folder).partition("/")[0]
            if number <= f"{last:012}":
                over.append(path)
            elif number <= f"{sequence:012}":
                still.append(path)
        return tuple(over), tuple(still)

    def _page(self, job: str, table: str) -> tuple[Page, str]:
        name = f"{key_of(job, table)}.json"
        found = self._text(name)
        if found is None:
            return Page(job=job, table=table), NOTHING
        return self._parsed(found[0], name), found[1]

    def _text(self, name: str) -> tuple[bytes, str] | None:
        """The text of a page and its etag; None if there is none."""
        for _ in range(_TRIES):
            entry = self._store.stat(self._pages + name)
            if entry is None:
                return None
            try:
                return self._store.read(entry, 0, entry.size), entry.etag
            except TransientError as e:
                if e.code not in ("file-changed", "file-moved"):
                    raise
        raise self._busy()

    def _parsed(self, text: bytes, name: str) -> Page:
        try:
            return Page.model_validate_json(text)
        except ValidationError as e:
            raise TerminalError(
                "the ledger of the folder is damaged",
                fix="Restore the file from a backup; without it, what was published is not known",
                code="ledger-damaged",
                file=f"{self._store.label}/{self._pages}{name}",
            ) from e

    def _busy(self) -> TransientError:
        return TransientError(
            "others write to the folder all the time", code="folder-busy", file=self._pages
        )

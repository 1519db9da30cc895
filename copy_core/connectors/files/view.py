"""What lies in a folder at one moment: hidden files aside, and as its ledgers have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.files.ledger import Ledger
from copy_core.connectors.files.store import AREA, confined
from copy_core.errors import TransientError

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store

MOVED = frozenset({"file-moved", "file-changed"})
"""Codes of errors that another look settles."""

_TRIES = 50


class File(NamedTuple):
    """A file of a table as it was when somebody looked.

    Attributes:
        key: its path below the root.
        size: bytes.
        modified: when it was last changed, nanoseconds of the epoch.
        etag: another text whenever its bytes are others.
        waiting: where it lies until the commit that it belongs to has been carried out; "" when
            it lies at `key`. Once it has moved, its time and its etag may be others.
    """

    key: str
    size: int
    modified: int
    etag: str
    waiting: str = ""


class View:
    """The files of a table at one moment: never between two states of a ledger.

    Args:
        store: where they are.
        top: the folder that holds them all.
        wanted: whether a file of that path is one of them.
    """

    def __init__(self, store: Store, top: str, wanted: Callable[[str], bool]) -> None:
        self._store = store
        self._top = top
        self._wanted = wanted
        self._ledgers = {folder: Ledger(store, folder) for folder in _above(top)}

    def files(self, listed: Callable[[], Iterable[Entry]]) -> list[File]:
        """Looks until no ledger changed meanwhile. A ledger that a look comes across in a folder
        further below takes another look, since what it said before is not known.
        """
        for _ in range(_TRIES):
            try:
                texts = self._texts()
                places, areas = self._places(listed())
                if more := areas - self._ledgers.keys():
                    self._ledgers |= {folder: Ledger(self._store, folder) for folder in more}
                    continue
                self._move(places, texts)
                if self._texts() == texts:
                    return sorted(places.values())
            except TransientError as e:
                if e.code not in MOVED:  # It was moved or removed just now.
                    raise
        raise TransientError(
            "the folder is written to all the time", code="folder-busy", file=self._top
        )

    def _texts(self) -> dict[str, dict[str, bytes]]:
        return {folder: ledger.texts() for folder, ledger in self._ledgers.items()}

    def _places(self, listed: Iterable[Entry]) -> tuple[dict[str, File], set[str]]:
        """The files by their paths, and the folders that have a ledger."""
        places, areas = dict[str, File](), set[str]()
        for entry in listed:
            if visible(entry.key):
                if self._wanted(entry.key):
                    places[confined(entry.key)] = File(*entry)
            elif (area := area_of(entry.key)) is not None:
                areas.add(area)
        return places, areas

    def _move(self, places: dict[str, File], texts: dict[str, dict[str, bytes]]) -> None:
        """Takes the files to where their commits want them."""
        moves = [
            (folder, move)
            for folder, ledger in self._ledgers.items()
            for move in ledger.moves(texts[folder])
        ]
        for folder, move in moves:
            for staged, name in move.add.items():
                key, waiting = below(folder, name), below(folder, staged)
                if key in places or not self._wanted(key):
                    continue
                if (entry := self._store.stat(waiting)) is None:
                    raise TransientError("the file moved just now", code="file-moved", file=key)
                places[key] = File(key, entry.size, entry.modified, entry.etag, waiting)
        for folder, move in moves:
            for name in move.remove:
                places.pop(below(folder, name), None)


def below(folder: str, name: str) -> str:
    """The path of what has that name in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


def parent(path: str) -> str:
    """The folder that a path lies in; "" is the root."""
    return path.rpartition("/")[0]


def area_of(key: str) -> str | None:
    """The folder in whose ledger's area an object lies, if readers see that folder."""
    folder, found, _ = f"/{key}".partition(f"/{AREA}/")
    return folder[1:] if found and visible(folder[1:]) else None


def visible(key: str) -> bool:
    """Whether readers see what has that path: no step of it is hidden."""
    return not any(map(hidden, key.split("/")))


def hidden(step: str) -> bool:
    """Whether readers pass over what has that name, as Spark does: a partition they do not."""
    return step.startswith(".") or (step.startswith("_") and "=" not in step)


def _above(folder: str) -> Iterator[str]:
    """The folder, and those above it of which it is a partition: their ledgers tell of it too."""
    yield folder
    while "=" in folder.rpartition("/")[2]:
        folder = parent(folder)
        yield folder

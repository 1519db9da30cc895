"""Which files a name stands for: below the root, hidden ones aside, as the ledgers have it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from copy_core.connectors.files.ledger import Ledger
from copy_core.connectors.files.patterns import fixed, is_pattern, matcher
from copy_core.connectors.files.ranges import Ranges
from copy_core.connectors.files.store import Entry, Store
from copy_core.connectors.files.view import (
    MOVED,
    File,
    View,
    area_of,
    below,
    hidden,
    parent,
    visible,
)
from copy_core.errors import ConfigError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["File", "below", "current", "files", "folders", "inside", "located", "named", "opened"]
__all__ += ["opener", "settled", "unchanged"]

_LONGEST_NAME = 255
_LOOKS = 5
Seen = TypeVar("Seen")


def located(name: str) -> str:
    """The path below the root that a name means, whether or not something is there; "" is the root.

    Raises:
        ConfigError: it leads out of the root, or no file can have that name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or Path(name).is_absolute() or "\0" in name:
        raise ConfigError(
            "the name leads out of the connection's root",
            fix="Write a path below the root, without '..' and without a leading slash",
            code="path-outside",
            table=name,
        )
    for part in path.parts:
        if hidden(part):
            raise ConfigError(
                f"'{part}' begins as hidden files do, which readers ignore",
                fix="Choose a name without a leading underscore or dot",
                code="path-hidden",
                table=name,
            )
        if len(os.fsencode(part)) > _LONGEST_NAME:
            raise ConfigError(
                f"the name is too long: a part of it has over {_LONGEST_NAME} bytes",
                fix="Choose a shorter name",
                code="name-too-long",
                table=name,
            )
    return "/".join(path.parts)


def files(store: Store, name: str, counts: Callable[[str], bool]) -> list[File]:
    """The files that a folder, file or pattern (`*`, `?`, `[abc]`, `**`) stands for, sorted.

    Args:
        store: where they are.
        name: the path below its root.
        counts: whether a file of that name counts when a folder is read.

    Returns:
        What is there; empty when nothing is.

    Raises:
        ConfigError: a name on the way that leads out of the root.
        TransientError: the folder is written to all the time.
    """
    path = located(name)
    if not path or next(store.list(f"{path}/"), None):
        return inside(store, name, counts)
    if not is_pattern(path) or store.stat(path):
        view = View(store, parent(path), path.__eq__)
        return view.files(lambda: filter(None, [store.stat(path)]))
    begun = fixed(path)
    return View(store, parent(begun), matcher([path])).files(lambda: store.list(begun))


def inside(store: Store, name: str, counts: Callable[[str], bool]) -> list[File]:
    """The files that count in the folder `name` and below, sorted; never a pattern."""
    path = located(name)
    begun = below(path, "")
    view = View(store, path, lambda k: k.startswith(begun) and counts(k.rpartition("/")[2]))
    return view.files(lambda: store.list(begun))


def named(name: str, key: str) -> int:
    """How many steps of a file's path are of the name that it was found by: those of the folder
    with that name, of the folder that the one file lies in, or of what is no pattern yet.
    """
    path = located(name)
    if path and not key.startswith(f"{path}/"):
        path = parent(path if key == path else fixed(path))
    return len(path.split("/")) if path else 0


def folders(store: Store, counts: Callable[[str], bool], looked: int | None = None) -> list[str]:
    """The folders that directly hold files that count, and such files at the root, sorted.

    Args:
        store: where they are.
        counts: whether a file of that name counts.
        looked: at how many objects to look at most; at all of them when left out.
    """
    found, areas = set[str](), set[str]()
    for entry in islice(store.list(), looked):
        top, _, name = entry.key.rpartition("/")
        if visible(entry.key) and counts(name):
            found.add(top or name)
        elif (area := area_of(entry.key)) is not None:
            areas.add(area)
    for area in areas - found:
        ledger = Ledger(store, area)
        names = [name for move in ledger.moves(ledger.texts()) for name in move.add.values()]
        found |= {parent(below(area, name)) or name for name in names if counts(name)}
    return sorted(found)


def current(store: Store, file: File) -> Entry:
    """A file as it may be read: its commit may move it at any moment, once.

    Raises:
        TransientError: it is in neither place (`file-moved`).
    """
    if not file.waiting:
        return Entry(*file[:4])
    for key in (file.key, file.waiting, file.key):
        if (found := store.stat(key)) and found.size == file.size:
            return found
    raise TransientError("the file went away just now", code="file-moved", file=file.key)


def opened(store: Store, file: File) -> pa.NativeFile:
    """A file to read, wherever it lies just now."""
    return store.open(current(store, file))


def opener(store: Store, file: File) -> Callable[[], pa.NativeFile]:
    """Opens a file as often as need be; what was fetched for one reader is there for the next."""
    if not _watched(store):
        return lambda: opened(store, file)
    ranges = cache(lambda: Ranges(store, current(store, file)))
    return lambda: ranges().open()


def unchanged(store: Store, file: File) -> None:
    """Makes sure, once a file was read, that it was one and the same from end to end.

    Raises:
        TransientError: it changed (`file-changed`), or went away (`file-moved`).
    """
    if _watched(store):
        return
    now = current(store, file) if file.waiting else store.stat(file.key)
    if now is None:
        raise TransientError("the file went away just now", code="file-moved", file=file.key)
    if not file.waiting and now.etag != file.etag:
        raise TransientError("the file changed just now", code="file-changed", file=file.key)


def settled(look: Callable[[], Seen]) -> Seen:
    """What a look at files gives of which none changed meanwhile; looks again a few times."""
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except TransientError as e:
            if e.code not in MOVED:
                raise
    return look()


def _watched(store: Store) -> bool:
    """Whether files are read in ranges, each on condition that nothing has changed."""
    return type(store).open is Store.open

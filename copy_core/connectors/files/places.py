"""Which objects a name stands for: a folder and all below it, one object, or a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.files.patterns import fixed, is_pattern, matcher
from copy_core.connectors.files.store import AREA, confined

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Entry, Store

_MOST_NAMES = 1_000
_LAST = "\U0010ffff"


class Place(NamedTuple):
    """What a name stands for.

    Attributes:
        prefix: what the keys of its objects begin with.
        base: the folder that paths are told from; "" or ending in a slash.
        meets: whether the object of a path below `base` belongs to it.
        whole: whether it is a folder with all that is in it.
    """

    prefix: str
    base: str
    meets: Callable[[str], bool]
    whole: bool = True


def folder_of(name: str) -> str:
    """What keys below a folder begin with; "" for the root itself, named "." or "".

    Raises:
        ConfigError: the name leads out of the root.
    """
    name = name.removesuffix("/")
    return "" if name in ("", ".") else confined(name) + "/"


def place_of(store: Store, name: str) -> Place:
    """What a name stands for now: a folder if there is one, then an object, then a pattern."""
    folder = folder_of(name)
    if not folder or store.holds(folder):
        return Place(folder, folder, lambda _: True)
    key = folder.removesuffix("/")
    above, _, last = key.rpartition("/")
    above += "/" if above else ""
    if store.stat(key) is not None:
        return Place(key, above, lambda path: path == last, whole=False)
    if not is_pattern(key):
        return Place(folder, folder, lambda _: True)
    prefix = fixed(key)
    base = prefix[: prefix.rfind("/") + 1]
    return Place(prefix, base, matcher([key.removeprefix(base)]), whole=False)


def members(store: Store, place: Place, after: str = "") -> Iterator[tuple[Entry, str]]:
    """The objects of a place in the order of their keys, each with its path below `base`; never
    those of a ledger, or what waits to be published.

    Args:
        store: where they are.
        place: the place.
        after: the key after which they begin.
    """
    for entry in store.list(place.prefix, after):
        path = entry.key.removeprefix(place.base)
        if not (AREA in entry.key and AREA in entry.key.split("/")) and place.meets(path):
            yield entry, path


def names(store: Store) -> list[str]:
    """The folders and objects at the root, sorted: the first of them, if there are very many."""
    found: list[str] = []
    after: str | None = ""
    while after is not None and len(found) < _MOST_NAMES:
        start, after = after, None
        for entry in store.list(after=start):
            step, slash, _ = entry.key.partition("/")
            if step != AREA:
                found.append(step)
            if slash:  # What else is in the folder is passed over.
                after = f"{step}/{_LAST}"
            if slash or len(found) >= _MOST_NAMES:
                break
    return sorted(set(found))

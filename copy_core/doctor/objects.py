"""The checks of a connection whose files are copied as they are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from copy_core.connectors.files.store import NOTHING
from copy_core.errors import ConflictError, TerminalError
from copy_core.model import Slice

if TYPE_CHECKING:
    from copy_core.connectors.base import TableInfo
    from copy_core.connectors.files.objects import ObjectDestination, ObjectSource
    from copy_core.connectors.files.store import Entry, Store
    from copy_core.doctor.checks import Checks

_RANGE = 1 << 16
_DATA = bytes(range(256)) * 8


def try_reading(source: ObjectSource, info: TableInfo, checks: Checks) -> None:
    """Reads some bytes of the first object of a folder.

    Args:
        source: where it is.
        info: the folder, from `describe`.
        checks: makes the check.
    """

    def read() -> str:
        whole = Slice(object=info.object, columns=tuple(info.schema.names))
        first = next(source.entries(whole), None)
        if first is None:
            return "no objects any more"
        entry, path = first
        data = source.store.read(entry, 0, min(entry.size, _RANGE))
        return f"{len(data):,} of {entry.size:,} bytes of {path}"

    checks.run("read", read)


def try_writing(destination: ObjectDestination, key: str, checks: Checks) -> None:
    """Puts an object, reads it back, tries to put it on a false condition, and removes it.

    Args:
        destination: where to.
        key: the key of the object; nothing is there.
        checks: makes the checks.
    """
    store = destination.store
    try:
        put = checks.run(
            "put",
            lambda: store.put(key, _DATA, NOTHING),
            lambda entry: f"{key}, {entry.size:,} bytes",
        )
        if put is not None:
            checks.run("read back", lambda: _read_back(store, put))
            checks.run("put again", lambda: _refused(store, key))
    finally:
        checks.run("remove", lambda: _removed(store, key))


def _read_back(store: Store, put: Entry) -> str:
    found = store.stat(put.key)
    if found is None or found.etag != put.etag or store.read(found, 0, put.size) != _DATA:
        raise TerminalError(
            "the object is not there as it was put",
            fix="Make sure that nothing else changes objects there",
            code="value-differs",
            file=put.key,
        )
    return "every byte is as it was put"


def _refused(store: Store, key: str) -> str:
    """A commit is a conditional put: a store that takes any put loses commits."""
    with suppress(ConflictError):
        store.put(key, b"another", NOTHING)
        raise TerminalError(
            "the store replaced an object that it was told not to replace: two writers would lose"
            " each other's commits",
            fix="Use a service that knows conditional writes (If-None-Match)",
            code="puts-unconditional",
            file=key,
        )
    return "refused, since the object is there"


def _removed(store: Store, key: str) -> str:
    store.remove([key])
    if store.stat(key) is not None:
        raise TerminalError(
            "the object was removed, and is still there",
            fix="Remove it by hand, and grant the right to delete objects",
            code="not-removed",
            file=key,
        )
    return "the object is gone"

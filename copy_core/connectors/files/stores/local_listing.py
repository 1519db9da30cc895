"""The files below a folder: in the order of their keys, a page at a time, no link leading out.

A file counts as changed when the kernel last changed anything of it (ctime), not when its bytes
were written (mtime): most files get their names after their last byte, by a rename, or are moved
in with the time that they had elsewhere. Who goes by the time of the bytes misses both, and is led
astray by a time that somebody set. The price: a new mode, owner or hard link is a change as well.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from heapq import nsmallest
from pathlib import Path

from copy_core.connectors.files.store import AREA, Entry
from copy_core.connectors.files.stores.local_aside import LOCK, restored
from copy_core.errors import ConfigError

_OWN = re.compile(r"\.copyjob-(lock|put\.tmp|[0-9a-f]{16}\.tmp)")


def listed(root: Path, prefix: str, after: str, page: int) -> Iterator[Entry]:
    """The files whose keys begin with `prefix` and come after `after`, in the order of the keys'
    UTF-8 bytes; at most `page` names of a folder are held at a time.

    Raises:
        ConfigError: a link leads out of the root, or to a folder; a name is no text.
        OSError: a folder cannot be read.
    """
    steps = prefix.split("/")[:-1]
    if not any(step in ("", ".", "..") for step in steps) and "\0" not in prefix:
        below = "".join(f"{step}/" for step in steps)
        yield from _walk(root, root.resolve(), below, prefix.encode(), after.encode(), page)


def entry_of(key: str, facts: os.stat_result) -> Entry | None:
    """A file as it is now; None for what is no file."""
    if not stat.S_ISREG(facts.st_mode):
        return None
    modified = changed(facts)
    etag = f"{facts.st_size:x}-{facts.st_mtime_ns:x}-{modified:x}-{facts.st_ino:x}"
    return Entry(key, facts.st_size, modified, etag)


def renamed(etag: str) -> str:
    """What stays of an etag when a file gets another name, which changes its ctime alone."""
    kept, *_, number = etag.rsplit("-", 2)
    return f"{kept}-{number}"


def changed(facts: os.stat_result) -> int:
    """When anything of a file was last changed, nanoseconds of the epoch."""
    if sys.platform == "win32":  # There ctime is when it was made.
        return max(facts.st_mtime_ns, facts.st_ctime_ns)
    return facts.st_ctime_ns


def confine(root: Path, real: Path, key: str) -> Path:
    """The path of a key.

    Args:
        root: the folder.
        real: the same without links.
        key: a key that `confined` let through.

    Raises:
        ConfigError: a link on it leads out of the root, or to nothing.
    """
    path = root.joinpath(*key.split("/"))
    if not path.resolve().is_relative_to(real):
        raise ConfigError(
            "a link leads out of the connection's root",
            fix="Put the files below the root, or make the folder that they lie in the root",
            code="path-outside",
            file=key,
        )
    if path.is_symlink() and not path.exists():
        raise ConfigError(
            "a link leads to a file that is not there",
            fix="Remove the link, or put the file back",
            code="path-link",
            file=key,
        )
    return path


def _walk(
    root: Path, real: Path, below: str, prefix: bytes, after: bytes, page: int
) -> Iterator[Entry]:
    if below:
        confine(root, real, below[:-1])
    restored(root / below)
    last = b""
    while names := nsmallest(page, _names(root, below, prefix, after, last)):
        for name in names:
            key = _text(name)
            if key.endswith("/"):
                yield from _walk(root, real, key, prefix, after, page)
            elif entry := _looked(root, real, key):
                yield entry
        if len(names) < page:
            return
        last = names[-1]


def _names(root: Path, below: str, prefix: bytes, after: bytes, last: bytes) -> Iterator[bytes]:
    """The keys past `last` directly below, in no order; those of folders end in a slash."""
    try:
        with os.scandir(root / below) as entries:
            for entry in entries:
                key = below.encode() + os.fsencode(entry.name)
                folder = entry.is_dir(follow_symlinks=False)
                if folder:
                    key += b"/"
                if (
                    key > last
                    and (key > after or (folder and after.startswith(key)))
                    and (key.startswith(prefix) or (folder and prefix.startswith(key)))
                    and not _own(below, entry.name)
                ):
                    yield key
    except (FileNotFoundError, NotADirectoryError):
        return  # It went away just now, or was never there.


def _own(below: str, name: str) -> bool:
    """Whether the store itself keeps a file of that name. Those that wait in our area are shown, or
    nobody could clear them away.
    """
    return bool(_OWN.fullmatch(name)) and (name == LOCK or f"/{AREA}/" not in f"/{below}")


def _looked(root: Path, real: Path, key: str) -> Entry | None:
    """A file that was listed, as it is; None when it is none any more, or a link in hiding."""
    path = root / key
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            confine(root, real, key)
            if path.is_dir():
                raise ConfigError(
                    "links to folders are not followed",
                    fix="Name the folder itself as the table",
                    code="path-link",
                    file=key,
                )
            facts = path.stat()
    except FileNotFoundError:
        return None
    except ConfigError:
        # Programs link what they keep for themselves as they like.
        if any(step.startswith((".", "_")) for step in key.split("/")):
            return None
        raise
    return entry_of(key, facts)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as e:
        raise ConfigError(
            "the name of a file or folder is no UTF-8",
            fix="Rename it",
            code="bad-name",
            file=name.decode(errors="backslashreplace"),
        ) from e

"""Which files a name stands for: confined to the root, hidden ones aside, as the ledger has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import pyarrow as pa

from copy_core.connectors.files.ledger import Ledger
from copy_core.errors import ConfigError, TransientError

_LONGEST_NAME = 255
_TRIES = 50
_LOOKS = 5
Seen = TypeVar("Seen")


class File(NamedTuple):
    """A file of a table as it was when somebody looked.

    Attributes:
        name: its path below the root, with slashes.
        size: bytes.
        mtime: when it was last changed, nanoseconds of the epoch.
        waiting: where it lies below the root until the commit that it belongs to has been carried
            out; "" when it lies at `name`.
    """

    name: str
    size: int
    mtime: int
    waiting: str = ""


def located(root: Path, name: str) -> Path:
    """The path below the root that a name means, whether or not something is there.

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
        if _hidden(part):
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
    found = root.joinpath(*path.parts)
    _confine(root, found)
    return found


def files(root: Path, name: str, counts: Callable[[str], bool]) -> list[File]:
    """The files that a folder, file or pattern (`*`, `?`, `[abc]`, `**`) stands for, sorted.

    Args:
        root: the connection's root.
        name: the path below it.
        counts: whether a file of that name counts when a folder is read.

    Returns:
        What is there; empty when nothing is.

    Raises:
        ConfigError: a link leads out of the root.
        TransientError: the folder is written to all the time.
    """
    path = located(root, name)
    if path.is_dir():
        return inside(root, name, counts)
    if (fixed := _fixed(name)) is not None and not path.is_file():
        parts = PurePosixPath(name).parts
        base = root.joinpath(*parts[:fixed])
        listed = list(_walk(root, base)) if base.is_dir() else []
        found = [f for f in listed if _matches(PurePosixPath(f.name).parts, parts)]
    else:
        listed = _within(root, path.parent)[0] if path.parent.is_dir() else []
        found = [f for f in listed if f.name == PurePosixPath(name).as_posix()]
    return sorted(found)


def inside(root: Path, name: str, counts: Callable[[str], bool]) -> list[File]:
    """The files that count in the folder `name` and below, sorted; never a pattern."""
    path = located(root, name)
    found = _walk(root, path) if path.is_dir() else ()
    return sorted(f for f in found if counts(PurePosixPath(f.name).name))


def folders(root: Path, counts: Callable[[str], bool]) -> list[str]:
    """The folders that directly hold files that count, and such files at the root, sorted."""
    if not root.is_dir():
        return []
    names = {PurePosixPath(f.name) for f in _walk(root, root)}
    chosen = [path for path in names if counts(path.name)]
    return sorted({str(p if len(p.parts) == 1 else p.parent) for p in chosen})


def found(root: Path, file: File, use: Callable[[Path], Seen]) -> Seen:
    """What `use` makes of a file where it lies: its commit may move it at any moment, once.

    Raises:
        FileNotFoundError: it is in neither place.
    """
    here = located(root, file.name)
    for path in (here, root / file.waiting) if file.waiting else ():
        with suppress(FileNotFoundError):
            return use(path)
    return use(here)


def opened(root: Path, file: File) -> pa.NativeFile:
    """A file to read, wherever it lies just now."""
    return found(root, file, lambda path: pa.OSFile(str(path)))


def settled(look: Callable[[], Seen]) -> Seen:
    """What a look at files gives of which none went away meanwhile; looks again a few times."""
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except TransientError as e:
            if e.code != "file-moved":
                raise
    return look()


def _walk(root: Path, folder: Path) -> Iterator[File]:
    pending = [folder]
    while pending:
        found, below = _within(root, pending.pop())
        yield from found
        pending += below


def _within(root: Path, folder: Path) -> tuple[list[File], list[Path]]:
    """The files and folders directly in a folder at one moment, by its ledger."""
    ledger = Ledger(folder)
    for _ in range(_TRIES):
        try:
            texts = ledger.texts()
            places = {e.name: e.name for e in os.scandir(folder) if not _hidden(e.name)}
            moves = ledger.moves(texts)
            for move in moves:
                places |= {name: staged for staged, name in move.add.items()}
            for move in moves:
                for name in move.remove:
                    places.pop(name, None)
            found, below = [], []
            for name, place in places.items():
                path = folder / name
                if path.is_dir():
                    below.append(_confine(root, path, link=True))
                else:
                    found.append(_file(root, folder, name, place))
            if ledger.texts() == texts:
                return found, below
        except FileNotFoundError:
            continue  # It was moved or removed just now.
    raise TransientError(
        "the folder is written to all the time", code="folder-busy", file=str(folder)
    )


def _file(root: Path, folder: Path, name: str, place: str) -> File:
    if place != name and (folder / name).exists():
        place = name
    if (folder / place).is_symlink():
        _confine(root, folder / place)
    facts = (folder / place).stat()
    waiting = "" if place == name else _below(root, folder / place)
    return File(_below(root, folder / name), facts.st_size, facts.st_mtime_ns, waiting)


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _confine(root: Path, path: Path, *, link: bool = False) -> Path:
    """The path; raises ConfigError when a link on it leads out of the root or nowhere, or (`link`)
    when it is itself a link: two folders that link to each other would never end.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            "a link leads out of the connection's root",
            fix="Put the files below the root, or make the folder that they lie in the root",
            code="path-outside",
            file=_below(root, path),
        )
    if path.is_symlink() and not path.exists():
        raise ConfigError(
            "a link leads to a file that is not there",
            fix="Remove the link, or put the file back",
            code="path-link",
            file=_below(root, path),
        )
    if link and path.is_symlink():
        raise ConfigError(
            "links to folders are not followed",
            fix="Name the folder itself as the table",
            code="path-link",
            file=_below(root, path),
        )
    return path


def _hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _fixed(name: str) -> int | None:
    """How many leading parts of a name are no pattern; None when none is."""
    parts = PurePosixPath(name).parts
    return next((n for n, part in enumerate(parts) if set(part) & set("*?[")), None)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[n:], pattern[1:]) for n in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])

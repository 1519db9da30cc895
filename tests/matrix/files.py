"""The cells of files that are copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from copy_core.connectors.options import Connection, LocalOptions
from tests.crash.store_places import Kind, container, options
from tests.matrix.cells import Cell, run
from tests.matrix.systems import System

FIRST = {
    "in/a.bin": bytes(range(256)) * 40,
    "in/empty": b"",
    "in/deep/er/b c+d%20é.txt": b"text\n",
    "in/same.txt": b"old",
}
LATER = {"in/new/c.bin": b"x" * 70_000, "in/same.txt": b"newer"}


class Place(Protocol):
    """Where files lie, by the system's own means."""

    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def keys(self) -> Iterator[str]: ...


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def keys(self) -> Iterator[str]:
        for path in self._root.rglob("*"):
            if path.is_file():
                yield path.relative_to(self._root).as_posix()


def _full(source: Place, check: Callable[[dict[str, bytes]], str]) -> Cell:
    fill(source, FIRST)
    return Cell(check(FIRST), len(FIRST))


def _increments(source: Place, check: Callable[[dict[str, bytes]], str]) -> Cell:
    fill(source, FIRST)
    wrong = check(FIRST)
    fill(source, LATER)
    now = FIRST | LATER
    return Cell(wrong or check(now) or check(now), len(now))


def _mirror(source: Place, check: Callable[[dict[str, bytes]], str]) -> Cell:
    fill(source, FIRST | LATER)
    return Cell(check(FIRST | LATER), len(FIRST | LATER))


MODES = {
    "full": ({"mode": "full"}, _full),
    "incremental": ({"mode": "incremental"}, _increments),
    "overwrite": ({"mode": "full", "write": "overwrite"}, _mirror),
}


def cell(folder: Path, source: System, target: System, mode: str) -> Cell:
    """Copies files in a mode and compares; arguments as of `cells.cell`."""
    (origin, from_), (goal, to) = (
        place(system, role, folder) for system, role in ((source, "source"), (target, "target"))
    )
    table, play = MODES[mode]
    # What only an overwrite removes.
    goal.put("out/stale", b"stale")
    expected = set() if mode == "overwrite" else {"stale"}

    def check(files: dict[str, bytes]) -> str:
        if error := run(folder, from_, to, {"source": "in", "destination": "out", **table}):
            return error
        there = [key for key in list(goal.keys()) if "/_copyjob/" not in key]
        found = {key.removeprefix("out/"): key for key in there}
        wanted = {key.removeprefix("in/"): data for key, data in files.items()}
        if odd := found.keys() ^ (wanted.keys() | expected):
            return f"lost or left: {sorted(odd)}"
        changed = [name for name, data in wanted.items() if goal.get(found[name]) != data]
        return f"other bytes: {changed}" if changed else ""

    found = play(origin, check)
    return Cell(found.outcome or "ok", found.rows)


def fill(at: Place, files: dict[str, bytes]) -> None:
    """Puts files there."""
    for key, data in files.items():
        at.put(key, data)


def place(system: System, role: str, folder: Path) -> tuple[Place, Connection]:
    """A new place of a system, and the connection that leads to it.

    Args:
        system: the system.
        role: tells places apart that are used at the same time.
        folder: where it is made if it is on this machine.
    """
    text = system.kind(role)
    if "|" not in text:
        root = folder / role
        root.mkdir()
        return Folder(root), LocalOptions(type="local", root=str(root), format="binary")
    given = options(Kind.of(text)._replace(form="binary"))
    return container(given), given

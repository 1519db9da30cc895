"""YAML and JSON files as plain data that still knows the line of everything in it.

`copy_core.yaml_nodes` says how words and numbers are taken.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from copy_core.yaml_nodes import (
    DEEPEST,
    TAG,
    UnreadableError,
    compose,
    scalar_value,
    too_much,
    yaml_of_json,
)

Place = tuple[str | int, ...]
"""Where in the data: keys and list positions from the top, such as ("tables", 2, "write")."""

# How many values a file may hold. Aliases can blow a small file up.
_MOST = 1_000_000

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file.

    Attributes:
        file: the file's path, as it was given.
        line: the line, from 1; 0 when the file as a whole is meant.
        column: the character in the line, from 1; 0 likewise.
        place: where in the data.
        what: what is wrong, and what is allowed.
        fix: what to change; "" when `what` says it all.
    """

    file: str
    line: int
    column: int
    place: Place
    what: str
    fix: str = ""

    @property
    def path(self) -> str:
        """`place` as people write it: `tables[2].write`."""
        return show(self.place)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [where, self.path, self.what + (f"; {self.fix}" if self.fix else "")]
        return ": ".join(part for part in parts if part)


def show(place: Place) -> str:
    """A place as people write it, such as `tables[2].write` or `audit["my column"]`."""
    text = ""
    for step in place:
        if isinstance(step, str) and _IDENTIFIER.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


@dataclass
class Document:
    """A file that was read.

    Attributes:
        file: its path, as it was given; its name alone when it was kept somewhere else than in
            a folder.
        folder: what relative paths in it are meant from; None when that is nowhere.
        data: what it holds; None when it is no mapping or could not be read.
        problems: what is wrong in it, each once, in the order found.
    """

    file: Path
    folder: Path | None = None
    data: dict[str, Any] | None = None
    problems: dict[Problem, None] = field(default_factory=dict)
    _root: yaml.Node | None = None
    _known: dict[int, dict[str, tuple[yaml.Node, yaml.Node]] | None] = field(default_factory=dict)
    # Values that have been reported already: nothing more is said of them.
    _untold: set[Place] = field(default_factory=set)
    _size: int = 0

    def report(self, place: Place, what: str, fix: str = "", *, key: bool = False) -> None:
        """Notes a problem with the line of its place, or of the nearest place around it.

        Args:
            place: where in the data.
            what: what is wrong.
            fix: what to change.
            key: whether the line of the key is meant, not that of its value.
        """
        if place in self._untold:
            return
        node = self._root
        for depth, step in enumerate(place, 1):
            if isinstance(node, yaml.MappingNode) and step in (items := self._items(node, place)):
                pair = items[str(step)]
                node = pair[0 if key and depth == len(place) else 1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
            else:
                break
        self._note(node, place, what, fix)

    def _note(self, node: yaml.Node | None, place: Place, what: str, fix: str = "") -> None:
        line, column = (0, 0)
        if node is not None:
            line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.problems[Problem(str(self.file), line, column, place, what, fix)] = None

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self._size += 1
        if self._size > _MOST or len(place) > DEEPEST:
            raise too_much(node)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
            items = self._items(node, place)
            return {name: self._value(v, (*place, name)) for name, (_, v) in items.items()}
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
            return [self._value(child, (*place, n)) for n, child in enumerate(node.value)]
        try:
            return scalar_value(node)
        except ValueError as e:
            self._note(node, place, str(e), "put it in quotes if it is text")
            self._untold.add(place)
            return None

    def _items(
        self, node: yaml.MappingNode, place: Place
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key and value node of each entry; those of merged mappings come after its own."""
        known = self._known.get(id(node), self)
        if known is None:
            self._note(node, place, "a mapping that merges itself")
            return {}
        if isinstance(known, dict):
            return known
        self._known[id(node)] = None
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == f"{TAG}merge":
                for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(other, yaml.MappingNode):
                        merged = self._items(other, place) | merged
                        self._size += len(merged)
                    else:
                        self._note(value, place, "`<<` merges mappings only")
            elif not isinstance(key, yaml.ScalarNode) or key.tag != f"{TAG}str":
                self._note(key, place, "a key that is not text", "put it in quotes")
            elif key.value in own:
                first = own[key.value][0].start_mark.line + 1
                self._note(key, (*place, key.value), f"written twice, first on line {first}")
            else:
                own[key.value] = (key, value)
        self._known[id(node)] = items = own | {k: v for k, v in merged.items() if k not in own}
        return items


def read(path: Path) -> Document:
    """Reads a YAML file, or a JSON file if its name ends in `.json`.

    Whatever is wrong with it stands in the document's `problems`.
    """
    try:
        text = decoded(_content(path))
    except UnreadableError as e:
        document = Document(path, path.parent)
        document.problems[problem_of(path, e)] = None
        return document
    return parse(text, path, path.parent)


def parse(text: str, file: Path, folder: Path | None) -> Document:
    """Takes a text as what a file holds, as `read` does.

    Args:
        text: what is written there. JSON is understood under any name.
        file: the file's name, for messages; what ends in `.json` must be JSON.
        folder: what relative paths are meant from.
    """
    document = Document(file, folder)
    try:
        root = compose(_as_yaml(text, must_be_json=file.suffix.lower() == ".json"))
        if root is None or root.tag == f"{TAG}null":
            raise UnreadableError("the file is empty")
        document._root = root
        data = document._value(root, ())
    except UnreadableError as e:
        document.problems[problem_of(file, e)] = None
        return document
    if isinstance(data, dict):
        document.data = data
    elif not document.problems:
        document.report((), "the file must hold a mapping (key: value) at its top")
    return document


def decoded(content: bytes) -> str:
    """A file's bytes as text.

    Raises:
        UnreadableError: they are not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise UnreadableError("the file is not UTF-8", "save it as UTF-8", line, 1) from None


def problem_of(file: Path, error: UnreadableError) -> Problem:
    """Why a file could not be read, as a problem of that file."""
    return Problem(str(file), error.line, error.column, (), error.what, error.fix)


def _as_yaml(text: str, *, must_be_json: bool) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        line = text.count("\n", 0, e.start) + 1
        raise UnreadableError("half a character", "send whole Unicode text", line, 1) from None
    if must_be_json:
        return yaml_of_json(text)
    if text.lstrip().startswith("{"):
        # JSON is YAML but for its tabs and its pairs of surrogates.
        with suppress(UnreadableError):
            return yaml_of_json(text)
    return text


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except IsADirectoryError:
        raise UnreadableError("this is a folder, not a file") from None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise UnreadableError(f"the file cannot be read: {reason}") from None

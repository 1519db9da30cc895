"""The Bicep of infra/, read for the tests.

pycep gives the tree. It tells no text from a name, so what names are used is read from the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

from pycep import BicepParser

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"

_WORDS = {
    "array", "bool", "existing", "false", "for", "if", "in", "int", "metadata", "module", "null",
    "object", "output", "param", "resource", "string", "targetScope", "true", "var",
}  # fmt: skip
_DECLARATION = re.compile(r"^(param|var|resource|module|output|metadata)[ ]+\w+", re.MULTILINE)
_LOCAL = re.compile(r"\bfor (\w+) in\b|\bfor \((\w+), (\w+)\) in\b|\b(\w+) =>")
# Not after a dot or an at sign; not before a parenthesis, and not the key of an object, which has
# its colon right behind it. What a loop goes through has, too.
_NAME = re.compile(r"(?<![.\w@])([A-Za-z_]\w*)\b(?![(\w])(?:(?<=\bin )|(?!:))")
_IN_LOOP = re.compile(r"\bin (\w+):")
_FUNCTION = re.compile(r"(?<![.\w@])([A-Za-z_]\w*)\(")


@dataclass(frozen=True)
class Resource:
    """A resource that a file declares.

    Attributes:
        name: its symbol.
        type: such as `Microsoft.Storage/storageAccounts`.
        version: the version of the API.
        existing: whether it is only referred to.
        body: its keys, as they are written: `name`, `properties`, ...
        condition: as it is written; None if it is always there.
    """

    name: str
    type: str
    version: str
    existing: bool
    body: dict[str, Any]
    condition: Any


class Bicep:
    """A file.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text("utf-8")

    @cached_property
    def tree(self) -> dict[str, Any]:
        """What pycep reads."""
        return cast("dict[str, Any]", BicepParser().parse(text=self.text))

    def part(self, name: str) -> dict[str, Any]:
        """Its `parameters`, `variables`, `modules` or `outputs`, by their symbols."""
        found: dict[str, Any] = self.tree.get(name, {})
        return found

    @cached_property
    def resources(self) -> list[Resource]:
        return [
            Resource(name, r["type"], r["api_version"], r["existing"], *_body(r["config"]))
            for name, r in self.part("resources").items()
        ]

    def resource(self, kind: str) -> dict[str, Any]:
        """The body of the one resource of a type."""
        [found] = [each.body for each in self.resources if each.type == kind and not each.existing]
        return found

    @cached_property
    def code(self) -> str:
        """The text without comments and decorators, and of strings only what is put into them."""
        return _DECORATED.sub("", "".join(_outside_strings(self.text)))

    @property
    def used(self) -> set[str]:
        """The names that it uses, be they declared or not."""
        text = _DECLARATION.sub(r"\1", self.code)
        mine = {name for found in _LOCAL.findall(text) for name in found if name}
        return {*_NAME.findall(text), *_IN_LOOP.findall(text)} - _WORDS - mine

    @property
    def declared(self) -> set[str]:
        """The names that it declares for its own use."""
        parts = ("parameters", "variables", "resources", "modules")
        return {name for part in parts for name in self.part(part)}

    @property
    def functions(self) -> set[str]:
        """The functions that it calls."""
        return set(_FUNCTION.findall(self.code)) - _WORDS

    def module(self, name: str) -> tuple[Path, dict[str, Any]]:
        """The file that a module is of, and what is handed to it."""
        found = self.part("modules")[name]
        body, _ = _body(found["config"])
        return (self.path.parent / found["detail"]["path"]).resolve(), body.get("params", {})


def files() -> list[Path]:
    """Every file of infra/ that is Bicep."""
    return sorted(INFRA.rglob("*.bicep"))


@cache
def at(path: Path) -> Bicep:
    """The file that is there. Reading one takes a good part of a second."""
    return Bicep(path)


def read(name: str) -> Bicep:
    """The file of that name in infra/."""
    return at(INFRA / name)


def described(of: dict[str, Any]) -> str:
    """What a parameter or an output says of itself."""
    texts = [d["argument"] for d in of["decorators"] if d["type"] == "description"]
    return str(texts[0]) if texts else ""


def path_of(value: Any) -> str:
    """`a.b` of what the tree holds for it; the text itself, if it is one."""
    if isinstance(value, str):
        return value
    operands = value["operator"]["operands"]
    return f"{path_of(operands['operand_1'])}.{path_of(operands['operand_2'])}"


def _body(config: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """What is within loops and conditions, and the condition."""
    condition = None
    while "config" in config:
        condition = config.get("condition") or condition
        config = config["config"]
    return config, condition


_DECORATED = re.compile(r"^@\w+\((?:[^()]|\([^()]*\))*\)$", re.MULTILINE)


def _outside_strings(text: str) -> Iterator[str]:
    """A string becomes two quotes, with the expressions that it holds between them."""
    quoted: list[int] = []  # for each string that is open, the braces that are in its expression
    i = 0
    while i < len(text):
        within = bool(quoted) and quoted[-1] < 0
        if within and text[i] == "\\":
            i += 1
        elif within and text.startswith("${", i):
            quoted[-1] = 0
            yield " ("
            i += 1
        elif text[i] == "'":
            if within:
                quoted.pop()
            else:
                quoted.append(-1)
            yield "'"
        elif within:
            pass
        elif text.startswith("//", i):
            i = text.find("\n", i) - 1
        elif quoted and text[i] == "}" and quoted[-1] == 0:
            quoted[-1] = -1
            yield ") "
        else:
            if quoted:
                quoted[-1] += {"{": 1, "}": -1}.get(text[i], 0)
            yield text[i]
        i += 1

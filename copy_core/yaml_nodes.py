"""The text of YAML and JSON files as a tree of nodes, and the values of its words.

Plain words mean what they mean in JSON: `true`, `false`, `null` (also capitalised, `~` or nothing
at all), whole numbers and decimal numbers; everything else is text. So `on`, `yes`, `2024-01-01`,
`12:30`, `007`, `0x1F` and `.inf` are text, and `1e3` is a number. A number that a float cannot
hold exactly as written is refused, so that no digit is lost: in quotes it is text.

Anchors, aliases and merge keys (`<<`) work; other tags than YAML's basic ones do not.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
"""What the tag of every node that YAML itself knows begins with."""

DEEPEST = 30
"""How deep a file may nest: far above what any needs, far below what hurts."""

_WORDS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], ("null", None)),
    **dict.fromkeys(["true", "True", "TRUE"], ("bool", True)),
    **dict.fromkeys(["false", "False", "FALSE"], ("bool", False)),
}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
# Longest whole number of any column: decimal(38,0). Python itself stops at 4,300 digits.
_DIGITS = 38

# What JSON allows in a string and YAML does not: pairs of surrogates, and these as they are.
_JSON_ONLY = re.compile(
    r"\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)|\\.|\t|[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
)


class UnreadableError(Exception):
    """A file that cannot be read as a whole.

    Attributes:
        line: where, from 1; 0 when unknown.
        column: the character in the line, likewise.
        what: what is wrong.
        fix: what to change, or "".
    """

    def __init__(self, what: str, fix: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.what, self.fix, self.line, self.column = what, fix, line, column


def yaml_of_json(text: str) -> str:
    """JSON as YAML takes it, line by line the same; tabs only ever stand between JSON's tokens.

    Raises:
        UnreadableError: it is not valid JSON.
    """

    def constant(name: str) -> None:
        raise UnreadableError(
            f"{name} is not JSON", "", text.count("\n", 0, text.find(name)) + 1, 1
        )

    try:
        json.loads(text or "null", parse_constant=constant, parse_int=str, parse_float=str)
    except json.JSONDecodeError as e:
        raise UnreadableError(f"not valid JSON: {e.msg}", "", e.lineno, e.colno) from None
    except RecursionError:
        raise too_much(None) from None

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if match[1]:
            pair = bytes.fromhex(match[1] + match[2]).decode("utf-16-be")
            return f"\\U{ord(pair):08x}"
        if found == "\t":
            return " "
        return found if found[0] == "\\" else f"\\u{ord(found):04x}"

    return _JSON_ONLY.sub(replaced, text)


class _JsonWords:
    """Makes a YAML loader take plain words as JSON does, and stop at what is nested too deeply."""

    _depth = 0

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        if kind is not yaml.ScalarNode:
            return TAG + ("map" if kind is yaml.MappingNode else "seq")
        if not implicit[0]:
            return f"{TAG}str"
        if value in _WORDS:
            return TAG + _WORDS[value][0]
        if match := _NUMBER.fullmatch(value):
            return TAG + ("float" if match[1] or match[2] else "int")
        return TAG + ("merge" if value == "<<" else "str")

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise too_much(parent)

    def ascend_resolver(self) -> None:
        self._depth -= 1


# The C parser is ten times faster, and missing only where PyYAML was built without libyaml.
_Loader: Any = type(
    "_Loader", (_JsonWords, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader), {}
)


def compose(text: str) -> yaml.Node | None:
    """The tree of a YAML text; None when it holds nothing.

    Raises:
        UnreadableError: it is not valid YAML, or nests too deeply.
    """
    try:
        root: yaml.Node | None = _Loader(text).get_single_node()
        return root
    except yaml.reader.ReaderError as e:
        line = text.encode().count(b"\n", 0, e.position) + 1
        raise UnreadableError("a control character", "write it as an escape", line, 1) from None
    except yaml.MarkedYAMLError as e:
        raise _syntax(text, e) from None


def _syntax(text: str, error: yaml.MarkedYAMLError) -> UnreadableError:
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = error.problem or error.context or "unknown reason"
    lines = text.splitlines()
    here = lines[line][column : column + 1] if line < len(lines) else ""
    if "undefined alias" in problem or "scanning an alias" in (error.context or ""):
        # YAML's own message may name it, and it may be a secret that begins with an asterisk.
        line, column = (start.line, start.column) if start else (line, column)
        what, fix = "an alias (*) without its anchor (&)", "put text that begins with * in quotes"
    elif "another document" in problem:
        what, fix = "a second document", "remove the line `---` and what follows"
    elif "cannot start any token" in problem:
        what = "a tab where YAML wants blanks" if here == "\t" else "text cannot begin like this"
        fix = "indent with blanks" if here == "\t" else "put it in quotes"
    else:
        begun = start and mark and start.line != mark.line
        what = f"not valid YAML: {problem}" + (f" {error.context}" if error.context else "")
        fix = f"look from line {start.line + 1} on" if start and begun else ""
    return UnreadableError(what, fix, line + 1, column + 1)


def too_much(node: yaml.Node | None) -> UnreadableError:
    """The error for a file that nests too deeply or holds too much, at a node of it."""
    mark = node.start_mark if node is not None else None
    what = "nested too deeply, or made too large by aliases"
    return UnreadableError(what, "", mark.line + 1 if mark else 0, mark.column + 1 if mark else 0)


def scalar_value(node: yaml.Node) -> str | int | float | bool | None:
    """The value of a scalar.

    Raises:
        ValueError: its tag is unknown or does not fit, or it is a number that would lose digits.
    """
    kind, text = node.tag.removeprefix(TAG), node.value
    if kind in ("str", "merge") and isinstance(text, str):
        return text
    if kind in ("null", "bool") and _WORDS.get(text, ("", None))[0] == kind:
        return _WORDS[text][1]
    if kind not in ("int", "float") or not (match := _NUMBER.fullmatch(text)):
        # It is not named: it may be a secret that begins with an exclamation mark.
        raise ValueError("a tag (!) that is not understood here")
    if kind == "int" and not match[1] and not match[2]:
        if len(text.lstrip("-")) > _DIGITS:
            raise ValueError(f"a number of more than {_DIGITS} digits")
        return int(text)
    number = float(text)
    try:
        exact = Decimal(repr(number)) == Decimal(text)
    except ArithmeticError:
        exact = False
    if not exact:
        raise ValueError("a number that would lose digits")
    return number

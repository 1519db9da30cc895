"""Each promise of docs/guarantees.md names tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs.pages import ROOT, text_of

PAGE = "docs/guarantees.md"

_PROOF = re.compile(r"\[([^]]+)\]\(\.\./(tests/[^)]+)\)")


def named_in(path: Path) -> set[str]:
    """The names of the tests that a file defines, those of its classes too."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def promises() -> list[str]:
    """The rows of the page's tables, without their heads."""
    lines = text_of(PAGE).splitlines()
    rows = [n for n, line in enumerate(lines) if line.startswith("| ")]
    heads = {n for n in rows if lines[n + 1].startswith("|---")}
    return [lines[n] for n in rows if n not in heads]


def test_each_promise_has_a_test() -> None:
    assert len(promises()) > 40
    assert [row for row in promises() if not _PROOF.search(row.split("|")[-2])] == []


def test_each_test_that_is_named_exists() -> None:
    proofs = [
        (f"test_{name.replace(' ', '_')}", path) for name, path in _PROOF.findall(text_of(PAGE))
    ]
    assert [f"{path}::{name}" for name, path in proofs if name not in named_in(ROOT / path)] == []

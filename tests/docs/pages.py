"""The pages of the docs, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code.

    Attributes:
        lead: the line before it.
        language: `sh`, `yaml`, …
        text: the code, without the indentation of the block.
    """

    lead: str
    language: str
    text: str


def text_of(page: str) -> str:
    """A page by its path in the repository."""
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of code of a page in these languages, in order; in all, where none is named."""
    text = text_of(page)
    found = []
    for match in _FENCE.finditer(text):
        indent, language, code = match.groups()
        before = text[: match.start()].split("\n")
        lead = next((line.strip() for line in reversed(before) if line.strip()), "")
        plain = "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))
        found.append(Block(lead, language, plain))
    return [block for block in found if not languages or block.language in languages]


def first_cells(page: str, under: str = "") -> list[str]:
    """The first column of the tables of a page, or of those below one heading."""
    text = text_of(page)
    if under:
        [text] = re.findall(
            rf"^#+ {re.escape(under)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL
        )
    rows = re.findall(r"^\|(.*?)(?<!\\)\|", text, re.MULTILINE)
    return [cell.strip() for cell in rows if not set(cell.strip()) <= set("-:")]

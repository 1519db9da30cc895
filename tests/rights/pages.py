"""What the connectors' pages show: their headings, and the blocks of text that can be run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "docs/connectors"
PAGES = sorted(FOLDER.glob("*.md"))
BUCKET, PREFIX = "sales-lake", "landing"
"""What the policies of the pages are about."""
_HEADING = re.compile(r"(#+) (.*)")
_FENCE = re.compile(r" *```(\w*)")


class Block(NamedTuple):
    """A block of a page.

    Attributes:
        heading: the heading that it stands under, of whatever level.
        language: what it is written in.
        text: its text.
    """

    heading: str
    language: str
    text: str


def headings(page: str, level: int = 2) -> list[str]:
    """The headings of a level, in their order."""
    return [title for depth, title, _ in _lines(page) if depth == level]


def blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page that are written in a language, in their order."""
    found: list[Block] = []
    heading, begun = "", None
    for depth, title, line in _lines(page):
        heading = title if depth else heading
        if (fence := _FENCE.fullmatch(line)) is None:
            if begun is not None:
                begun = begun._replace(text=f"{begun.text}{line}\n")
        elif begun is None:
            begun = Block(heading, fence[1], "")
        else:
            found.append(begun)
            begun = None
    return [block for block in found if block.language == language]


def policy(page: str, heading: str, bucket: str = BUCKET) -> dict[str, Any]:
    """The policy of IAM under a heading, for a bucket of that name."""
    (text,) = [block.text for block in blocks(page, "json") if block.heading == heading]
    found: dict[str, Any] = json.loads(text.replace(BUCKET, bucket))
    return found


def uses() -> dict[str, set[str]]:
    """For each use of Azure storage, the actions of a role that its page says it takes."""
    text = (FOLDER / "azure_blob.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ((?:`containers/[\w/]+`(?:, )?)+) \|$", text, re.MULTILINE)
    below = "Microsoft.Storage/storageAccounts/blobServices"
    return {
        use: {f"{below}/{each}" for each in re.findall("`(.*?)`", named)} for use, named in rows
    }


def _lines(page: str) -> list[tuple[int, str, str]]:
    """Each line of a page, before it the level and the text of the heading that it is; 0 and ""
    where it is none, as within blocks.
    """
    found, within = [], False
    for line in (FOLDER / f"{page}.md").read_text("utf-8").splitlines():
        within ^= bool(_FENCE.fullmatch(line))
        heading = None if within else _HEADING.fullmatch(line)
        found.append((len(heading[1]), heading[2], line) if heading else (0, "", line))
    return found

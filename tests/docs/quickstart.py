"""What the quickstart offers to readers whose table is not in a SQLite file."""

from __future__ import annotations

from tests.docs.pages import blocks

PAGE = "docs/quickstart.md"


def connections_for(system: str) -> str:
    """The file of connections for a table in another system."""
    shown = [block.text for block in blocks(PAGE, "yaml")]
    [text] = [each for each in shown if f"type: {system}" in each and "shop:" in each]
    return text


def job_for(source: str, *more: str) -> str:
    """The page's job, of another table.

    Args:
        source: the table.
        *more: lines to add below its `source`.
    """
    [job] = [block.text for block in blocks(PAGE, "yaml") if block.text.startswith("name: orders")]
    lines = "".join(f"    {line}\n" for line in more)
    return job.replace("- source: orders\n", f"- source: {source}\n{lines}")

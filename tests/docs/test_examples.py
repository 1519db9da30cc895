"""What the docs show is so: job files and connections load, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from copy_core.connectors.registry import CONNECTORS
from copy_core.jobfile import load
from tests.docs.pages import PAGES, ROOT, blocks


@pytest.mark.parametrize("page", ["README.md", "docs/job-file.md"])
def test_every_job_file_that_is_shown_loads(page: str, tmp_path: Path) -> None:
    shown = blocks(page, "yaml")
    assert shown
    for n, block in enumerate(shown):
        path = tmp_path / f"job{n}.yaml"
        path.write_text(block.text, "utf-8")
        load(path)


@pytest.mark.parametrize("connector", sorted(CONNECTORS))
def test_every_connection_that_is_shown_loads(connector: str, tmp_path: Path) -> None:
    for block in blocks(f"docs/connectors/{connector}.md", "yaml"):
        path = tmp_path / "connections.yaml"
        path.write_text(block.text, "utf-8")
        [name] = re.findall(r"^  (\w+):$", block.text, re.MULTILINE)
        job = tmp_path / "job.yaml"
        table = "{source: a, destination: b}"
        job.write_text(f"{{name: j, source: {name}, destination: {name}, tables: [{table}]}}")
        assert load(job).connections[name].type == connector


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text("utf-8"))
    wrong = []
    for target, anchor in links:
        found = (page.parent / target) if target else page
        if not found.exists():
            wrong.append(target)
        elif anchor and anchor not in anchors(found):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

"""The docs say what is so: their commands run, their job files load, and nothing is left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

from copy_core import job
from copy_core.cli import main
from copy_core.connectors import options
from copy_core.connectors.registry import CONNECTORS
from copy_core.jobfile import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
JOB_FILE = (ROOT / "docs/job-file.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    create, use = blocks(README, "sh")
    (job_yaml,) = blocks(README, "yaml")
    (tmp_path / "job.yaml").write_text(job_yaml, "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    output = ""
    for script in (create, use):
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        output += done.stdout
        assert done.returncode == 0, output
    assert "2026-01-02 11:30:00" in output
    assert "unchanged" in output


@pytest.mark.parametrize("page", [README, JOB_FILE], ids=["README", "job-file"])
def test_every_job_file_that_is_shown_loads(page: str, tmp_path: Path) -> None:
    for n, text in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"job{n}.yaml"
        path.write_text(text, "utf-8")
        load(path)


def commands() -> dict[str, click.Command]:
    assert isinstance(main, click.Group)
    return dict(main.commands)


def test_every_command_and_option_is_in_the_readme() -> None:
    parameters = {o for c in [main, *commands().values()] for p in c.params for o in p.opts}
    wanted = {f"`{name}" for name in parameters if name.startswith("-")}
    wanted |= {f"`copyjob {name}" for name in commands()}
    assert {each for each in wanted if each not in README} == set()


def documented(model: type[BaseModel], text: str) -> set[str]:
    """Keys of a model that no table of the page has in its first column."""
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    return set(model.model_fields) - rows


@pytest.mark.parametrize("model", [job.JobFile, job.TableEntry, job.Limits])
def test_every_key_of_a_job_file_is_explained(model: type[BaseModel]) -> None:
    assert documented(model, JOB_FILE) == set()


@pytest.mark.parametrize("model", [job.Column, job.Condition, job.Schedule])
def test_every_key_of_a_small_mapping_is_mentioned(model: type[BaseModel]) -> None:
    assert {key for key in model.model_fields if f"`{key}`" not in JOB_FILE} == set()


def test_every_audit_value_is_mentioned() -> None:
    assert {v for v in get_args(job.AuditValue) if f"`{v}`" not in JOB_FILE} == set()


def page_of(connector: str) -> str:
    return (ROOT / f"docs/connectors/{connector}.md").read_text("utf-8")


def options_of(connector: str) -> tuple[type[BaseModel], str]:
    """Its options, and which of the connectors that have the same ones comes first."""
    for model in get_args(get_args(options.Connection)[0]):
        first, *flavours = get_args(model.model_fields["type"].annotation)
        if connector in (first, *flavours):
            return model, first
    raise LookupError(connector)


@pytest.mark.parametrize("connector", sorted(CONNECTORS))
def test_every_connector_has_a_page_that_leads_to_all_its_options(connector: str) -> None:
    model, first = options_of(connector)
    assert documented(model, page_of(first)) == set()
    assert connector == first or f"]({first}.md)" in page_of(connector)
    assert f"docs/connectors/{connector}.md" in README


@pytest.mark.parametrize("connector", sorted(CONNECTORS))
def test_every_connection_that_is_shown_loads(connector: str, tmp_path: Path) -> None:
    for text in blocks(page_of(connector), "yaml"):
        path = tmp_path / "connections.yaml"
        path.write_text(text, "utf-8")
        [name] = re.findall(r"^  (\w+):$", text, re.MULTILINE)
        job = tmp_path / "job.yaml"
        table = "{source: a, destination: b}"
        job.write_text(f"{{name: j, source: {name}, destination: {name}, tables: [{table}]}}")
        assert load(job).connections[name].type == connector


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []

"""Nothing is left out of the docs: options, keys, connectors, metrics, settings, targets."""

from __future__ import annotations

import ast
import re
from typing import get_args

import click
import pytest
from pydantic import BaseModel

from copy_core import job
from copy_core.cli import main
from copy_core.connectors import options
from copy_core.connectors.registry import CONNECTORS
from copy_core.service.settings import SETTINGS
from tests.docs.pages import PAGES, ROOT, first_cells, text_of

JOB_FILE = "docs/job-file.md"


def commands() -> dict[str, click.Command]:
    assert isinstance(main, click.Group)
    return dict(main.commands)


def test_every_command_and_option_is_explained() -> None:
    parameters = {o for c in [main, *commands().values()] for p in c.params for o in p.opts}
    wanted = {f"`{name}" for name in parameters if name.startswith("-")}
    wanted |= {f"`copyjob {name}" for name in commands()}
    page = text_of("docs/cli.md")
    assert {each for each in wanted if each not in page} == set()


def unexplained(model: type[BaseModel], page: str) -> set[str]:
    """Keys of a model that no table of the page has in its first column."""
    return {key for key in model.model_fields if f"`{key}`" not in first_cells(page)}


@pytest.mark.parametrize("model", [job.JobFile, job.TableEntry, job.Limits])
def test_every_key_of_a_job_file_is_explained(model: type[BaseModel]) -> None:
    assert unexplained(model, JOB_FILE) == set()


@pytest.mark.parametrize("model", [job.Column, job.Condition, job.Schedule])
def test_every_key_of_a_small_mapping_is_mentioned(model: type[BaseModel]) -> None:
    assert {key for key in model.model_fields if f"`{key}`" not in text_of(JOB_FILE)} == set()


def test_every_audit_value_is_mentioned() -> None:
    assert {v for v in get_args(job.AuditValue) if f"`{v}`" not in text_of(JOB_FILE)} == set()


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
    assert unexplained(model, f"docs/connectors/{first}.md") == set()
    assert connector == first or f"]({first}.md)" in text_of(f"docs/connectors/{connector}.md")
    assert f"docs/connectors/{connector}.md" in text_of("README.md")


def instruments() -> set[str]:
    """The names of all metrics that copyjob makes."""
    makes = re.compile(r"create_(observable_)?(counter|up_down_counter|gauge|histogram)")
    found = set()
    for path in ROOT.glob("copy_core/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=made), args=[ast.Constant(value=str(name)), *_]
                ):
                    found |= {name} if makes.fullmatch(made) else set()
    return found


def test_every_metric_is_explained() -> None:
    explained = re.findall(r"`(copyjob\.[\w.]+)`", " ".join(first_cells("docs/monitoring.md")))
    assert len(instruments()) > 10
    assert instruments() - set(explained) == set()


def test_every_setting_is_explained_where_its_reader_looks() -> None:
    pages = {"app": "docs/deploy.md", "serve": "docs/serve.md"}
    missing = [
        (setting.name, page)
        for setting in SETTINGS
        for reader, page in pages.items()
        if reader in setting.readers and not setting.given and setting.name not in text_of(page)
    ]
    assert missing == []


def test_every_target_of_make_is_explained() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    explained = " ".join(first_cells("CONTRIBUTING.md"))
    assert {name for name in targets if not re.search(rf"`make {name}[ `]", explained)} == set()


def test_the_readme_leads_to_every_page() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in PAGES} - {"README.md"}
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text_of("README.md")))
    assert pages - linked == set()

"""docs/deploy.md says what infra/ does: settings, outputs, roles, resources."""

from __future__ import annotations

import json
import re
from pathlib import Path

from copy_core.jobfile import load
from tests.docs.pages import ROOT, blocks, first_cells, text_of

PAGE = "docs/deploy.md"
INFRA = ROOT / "infra"


def default_of(setting: str) -> str:
    """The last cell of its row, in the table of three columns."""
    row = rf"^\| `{setting}` \|[^|\n]+\|([^|\n]*)\|$"
    [default] = re.findall(row, text_of(PAGE), re.MULTILINE)
    return str(default).strip(" `")


def settings() -> dict[str, str]:
    """What `azd` fills the parameters from, each with its default."""
    given = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    found = {}
    for parameter in given.values():
        [(name, default)] = re.findall(r"\$\{(\w+)(?:=([^}]*))?\}", str(parameter["value"]))
        found[name] = default
    return found


def test_every_setting_is_explained_with_its_default() -> None:
    assert len(settings()) > 10
    assert {name: default_of(name) for name in settings()} == settings()


def test_what_is_set_is_a_setting() -> None:
    set_here = re.findall(r"azd env set ([A-Z]+_\w+)", text_of(PAGE))
    assert set_here
    assert set(set_here) - set(settings()) == set()


def test_every_output_is_explained_and_no_other_is_used() -> None:
    outputs = set(re.findall(r"^output (\w+)", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    cells = {cell.strip("`") for cell in first_cells(PAGE, "1. Deploy")}
    assert outputs - cells == set()
    for page in (PAGE, "README.md"):
        used = {name for block in blocks(page, "sh") for name in variables(block.text)}
        assert used - outputs - set(settings()) == set()


def variables(script: str) -> set[str]:
    """The variables that a script takes from the environment of azd."""
    return set(re.findall(r"\$\{?((?:AZURE|COPYJOB)_\w+)", script))


def test_every_role_is_explained() -> None:
    roles = json.loads((INFRA / "roles.json").read_text("utf-8"))
    assert set(roles) - set(first_cells(PAGE, "What is created")) == set()


def test_every_kind_of_resource_is_explained() -> None:
    files = [file.read_text("utf-8") for file in INFRA.glob("modules/*.bicep")]
    kind = re.compile(r"^resource \w+ '([\w.]+/\w+)@[\w-]+' = ", re.MULTILINE)
    made = {each for text in files for each in kind.findall(text)}
    assert len(made) > 10
    assert {each for each in made if f"`{each}`" not in text_of(PAGE)} == set()


def test_the_job_that_is_shown_loads(tmp_path: Path) -> None:
    connections, job = blocks(PAGE, "yaml")
    (tmp_path / "connections.yaml").write_text(connections.text, "utf-8")
    (tmp_path / "orders.yaml").write_text(job.text, "utf-8")
    assert load(tmp_path / "orders.yaml").job.tables[0].source == "sales.orders"

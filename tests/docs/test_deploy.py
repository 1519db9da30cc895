"""docs/deploy.md says what infra/ does: settings, outputs, roles, resources."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from copy_core.jobfile import load
from tests.docs.pages import ROOT, blocks, first_cells, text_of

PAGE = "docs/deploy.md"
INFRA = ROOT / "infra"
GRANTS = "Microsoft.Authorization/roleAssignments"
OWNER = "repo:contoso@1/copyjob@2"
# A terminal that has nothing behind it: `az` notes what it is given, and answers with a word.
STUBS = r"""
set -eu
az() { printf '%s\0' "$@" $'\n' >>"$CALLS"; echo "$1"; }
azd() { case "$*" in "env get-values") echo "$OUTPUTS" ;; "env get-value "*) echo "$3" ;; esac; }
gh() { echo "$OWNER"; }
git() { :; }
curl() { :; }
"""


class Call(NamedTuple):
    """What `az` was given."""

    words: list[str]

    def after(self, option: str) -> str:
        """The value of an option; "" without it."""
        return dict(zip(self.words, self.words[1:], strict=False)).get(option, "")


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


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """What `az` is given by whoever types the whole page, from its first block to its last."""
    noted = tmp_path_factory.mktemp("az") / "calls"
    names = re.findall(r"^output (\w+)", (INFRA / "main.bicep").read_text(), re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", STUBS + "".join(block.text for block in blocks(PAGE, "sh"))],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "CALLS": str(noted),
            "OUTPUTS": "\n".join(f'{name}="{name.lower()}"' for name in names),
            "OWNER": OWNER,
        },
        input="a password\n",
        capture_output=True,
        text=True,
        check=False,
    )
    # An error is a variable that nobody set, too.
    assert (done.returncode, done.stderr) == (0, "")
    found = noted.read_text("utf-8").removesuffix("\0\n\0").split("\0\n\0")
    return [Call(call.split("\0")) for call in found]


def test_what_is_sent_as_json_is_json(calls: list[Call]) -> None:
    given = [call.after(option) for call in calls for option in ("--body", "--parameters")]
    bodies = [json.loads(text) for text in given if text]
    assert [body["subject"] for body in bodies if "subject" in body] == [
        f"{OWNER}:environment:prod"
    ]
    assert all(bodies)


def test_the_pipeline_may_assign_the_roles_of_the_deployment_and_no_others(
    calls: list[Call],
) -> None:
    roles = json.loads((INFRA / "roles.json").read_text("utf-8"))
    [grant] = [c for c in calls if c.after("--role").endswith("Access Control Administrator")]
    assert grant.after("--condition-version") == "2.0"
    # https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
    wanted = [
        f"((!(ActionMatches{{'{GRANTS}/{action}'}})) OR (@{of}[{GRANTS}:RoleDefinitionId]"
        f" ForAnyOfAnyValues:GuidEquals {{{', '.join(roles.values())}}}))"
        for action, of in (("write", "Request"), ("delete", "Resource"))
    ]
    assert " ".join(grant.after("--condition").split()) == " AND ".join(wanted)


def test_what_is_opened_is_closed_again(calls: list[Call]) -> None:
    switched = [
        (call.words[0], call.after("--public-network-access"), call.after("--default-action"))
        for call in calls
        if "--public-network-access" in call.words
    ]
    opened = [name for name, access, action in switched if (access, action) == ("Enabled", "Allow")]
    closed = [name for name, access, action in switched if (access, action) == ("Disabled", "Deny")]
    assert opened == closed == ["storage", "keyvault"]


def test_events_bring_a_token_where_people_sign_in(calls: list[Call]) -> None:
    by_key, by_token = [call for call in calls if call.words[0] == "eventgrid"]
    assert "?code=" in by_key.after("--endpoint")
    assert "?code=" not in by_token.after("--endpoint")
    assert by_token.after("--azure-active-directory-tenant-id")
    app = by_token.after("--azure-active-directory-application-id-or-uri")
    assert app == "api://COPYJOB_ENTRA_CLIENT_ID"


@pytest.mark.parametrize("page", [PAGE, "README.md"])
def test_the_version_of_azd_that_is_required_is_told(page: str) -> None:
    required = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["requiredVersions"]["azd"]
    assert f"{required.removeprefix('>= ')} or later" in text_of(page)

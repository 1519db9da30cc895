"""The pages of the connectors: the same order on each, and blocks that a server or shell takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import sqlglot
import yaml
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from copy_core.connectors.registry import CONNECTORS
from tests.rights import pages, rbac, tsql

NAMES = sorted(CONNECTORS)
ON_EACH = ["Rights", "Options", "Types", "Limits"]
T_SQL = ("sql_server", "azure_sql", "azure_sql_mi", "rds_sql_server")
IDENTITY = "33333333-4444-4555-8666-777777777777"
# What the commands are answered with, where a page goes on with the answer.
ANSWERS = {
    "azd": f'COPYJOB_IDENTITY_PRINCIPAL_ID="{IDENTITY}"',
    "az": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/contoso",
}


@pytest.mark.parametrize("page", NAMES)
def test_every_page_has_the_same_order(page: str) -> None:
    found = pages.headings(page)
    assert [each for each in found if each in ON_EACH] == ON_EACH
    assert found[0] == "Rights"
    assert found[-1] == "Limits"


@pytest.mark.parametrize("page", NAMES)
def test_every_page_opens_with_a_connection(page: str) -> None:
    (first, *_) = pages.blocks(page, "yaml")
    assert first.heading == page
    assert first.text.startswith("connections:\n")


def test_every_page_has_a_connector() -> None:
    assert [page.stem for page in pages.PAGES] == NAMES


@pytest.mark.parametrize("page", [name for name in NAMES if pages.blocks(name, "sql")])
def test_every_statement_is_t_sql(page: str) -> None:
    for block in pages.blocks(page, "sql"):
        for statement in tsql.statements(block.text):
            assert tsql.known(statement), statement
            if " ON SCHEMA::" in statement:  # what else there is, sqlglot does not know
                plain = statement.replace("SCHEMA::", "SCHEMA ")
                (parsed,) = sqlglot.parse(plain, read="tsql", error_level=ErrorLevel.RAISE)
                assert isinstance(parsed, exp.Grant)


@pytest.mark.parametrize("page", T_SQL[1:])
@pytest.mark.parametrize("heading", ["To read", "To write"])
def test_the_same_rights_are_granted_on_every_server(page: str, heading: str) -> None:
    """So what `tests/mssql/test_rights.py` finds on one server holds for the pages of all."""
    assert tsql.granted(page, heading) == tsql.granted("sql_server", heading) != []


def test_a_warehouse_grants_what_a_server_does_and_loading() -> None:
    def rights(page: str) -> set[str]:
        return {right for each in tsql.granted(page, "To write") for right in each.rights}

    assert tsql.granted("fabric_warehouse", "To read") == tsql.granted("sql_server", "To read")
    assert rights("fabric_warehouse") - rights("sql_server") == {
        "ADMINISTER DATABASE BULK OPERATIONS"
    }
    assert rights("sql_server") < rights("fabric_warehouse")


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)


def ran(page: str, folder: Path) -> list[list[str]]:
    """Runs the shell commands of a page; what programs of other makers were called with."""
    record = folder / "calls"
    for program in ("az", "azd", "aws", "setfacl"):
        answer = ANSWERS.get(program, "")
        record_it = f'printf "%s\\n" {program} "$@" "" >>"$RECORD"'
        _program(folder / program, f"{record_it}; echo '{answer}'")
    _program(folder / "sudo", 'exec "$@"')
    script = "\n".join(block.text for block in pages.blocks(page, "sh"))
    environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "RECORD": str(record)}
    subprocess.run(["bash", "-euc", script], cwd=folder, env=environment, check=True)
    text = record.read_text("utf-8") if record.exists() else ""
    return [call.split("\n") for call in text.removesuffix("\n\n").split("\n\n") if call]


@pytest.mark.parametrize("page", [name for name in NAMES if pages.blocks(name, "sh")])
def test_the_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    assert ran(page, tmp_path) != []


@pytest.mark.parametrize(
    ("page", "container"), [("azure_blob", "landing"), ("adls_gen2", "bronze")]
)
def test_roles_are_given_on_the_container_alone(page: str, container: str, tmp_path: Path) -> None:
    given = [
        dict(zip(call[4::2], call[5::2], strict=True))
        for call in ran(page, tmp_path)
        if call[:4] == ["az", "role", "assignment", "create"]
    ]
    own = [json.loads(block.text)["Name"] for block in pages.blocks(page, "json")]
    wanted = [
        rbac.ROLES[f"Storage Blob Data {name}"][0] for name in ("Reader", "Contributor")
    ] + own
    assert [each.pop("--role") for each in given] == wanted
    assert given == len(wanted) * [
        {
            "--scope": f"{ANSWERS['az']}/blobServices/default/containers/{container}",
            "--assignee-object-id": IDENTITY,
            "--assignee-principal-type": "ServicePrincipal",
        }
    ]


def test_a_role_of_fabric_is_given_by_a_whole_document(tmp_path: Path) -> None:
    calls = ran("fabric_lakehouse", tmp_path)
    ((*_, body),) = [call for call in calls if call[:2] == ["az", "rest"]]
    assert json.loads(body) == {
        "principal": {"id": IDENTITY, "type": "ServicePrincipal"},
        "role": "Contributor",
    }


def test_a_role_of_aws_trusts_the_connection_that_is_shown() -> None:
    heading = "A role without a key, from Azure"
    (shown,) = [block for block in pages.blocks("s3", "yaml") if block.heading == heading]
    (connection,) = yaml.safe_load(shown.text)["connections"].values()
    (statement,) = pages.policy("s3", heading)["Statement"]
    account, _, provider = statement["Principal"]["Federated"].partition(":oidc-provider/")
    assert connection["role_arn"].startswith(f"{account}:role/")
    known = statement["Condition"]["StringEquals"]
    assert known.keys() == {f"{provider}:aud", f"{provider}:sub"}
    assert known[f"{provider}:aud"] == connection["web_identity"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"

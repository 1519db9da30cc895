"""Who may do what: the roles that are granted, and that they are enough for what the app says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tests.infra.bicep import INFRA, ROOT, Bicep, Resource, at, files

GRANT = "Microsoft.Authorization/roleAssignments"

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "Durable Task Data Contributor": "0ad04412-c4d5-4796-b79c-f76d14c8d402",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}

# What includes another role.
INCLUDED = {"Storage Blob Data Owner": "Storage Blob Data Contributor"}

APP = "identityPrincipalId"
DEPLOYER = "deployerPrincipalId"


@dataclass(frozen=True)
class Granted:
    """A role that is granted.

    Attributes:
        role: its name.
        to: the parameter that holds to whom.
        on: the resource.
        when: on what condition; "" for always.
    """

    role: str
    to: str
    on: str
    when: str = ""


ALL = {
    Granted("Monitoring Metrics Publisher", APP, "Microsoft.Insights/components"),
    Granted("Key Vault Secrets User", APP, "Microsoft.KeyVault/vaults"),
    Granted("Key Vault Secrets Officer", DEPLOYER, "Microsoft.KeyVault/vaults", "deployer"),
    Granted("Storage Blob Data Owner", APP, "Microsoft.Storage/storageAccounts"),
    Granted("Storage Queue Data Contributor", APP, "Microsoft.Storage/storageAccounts", "storage"),
    Granted("Storage Table Data Contributor", APP, "Microsoft.Storage/storageAccounts", "storage"),
    Granted(
        "Storage Table Data Contributor",
        APP,
        "Microsoft.Storage/storageAccounts/tableServices/tables",
        "scheduler",
    ),
    Granted(
        "Storage Blob Data Contributor",
        DEPLOYER,
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "deployer",
    ),
    Granted("Durable Task Data Contributor", APP, "Microsoft.DurableTask/schedulers/taskHubs"),
}


def grants() -> list[tuple[Bicep, Resource]]:
    """Every resource that grants a role, with its file."""
    return [
        (file, each) for file in map(at, files()) for each in file.resources if each.type == GRANT
    ]


def role_of(grant: Resource) -> str:
    """The name of the role: its id is looked up by it, in roles.json."""
    found = grant.body["properties"]["roleDefinitionId"]["function"]["parameters"]
    looked_up = found["resource_name_1"]["operator"]["operands"]
    assert looked_up["operand_1"] == "roles"
    return str(looked_up["operand_2"])


def when(grant: Resource) -> str:
    condition = grant.condition
    if condition is None:
        return ""
    kind, operands = condition["operator"]["type"], condition["operator"]["operands"]
    if kind == "equals":
        assert operands["operand_1"] == "durable"
        return str(operands["operand_2"])
    assert "deployerPrincipalId" in str(operands)
    return "deployer"


def test_a_role_has_the_id_that_azure_gave_it() -> None:
    assert json.loads((INFRA / "roles.json").read_text("utf-8")) == ROLES


def test_no_role_is_granted_but_these_and_none_on_more_than_it_needs() -> None:
    found = set()
    for file, grant in grants():
        types = {each.name: each.type for each in file.resources}
        on, to = grant.body["scope"], grant.body["properties"]["principalId"]
        found.add(Granted(role_of(grant), to, types[on], when(grant)))
    assert found == ALL
    assert {each.role for each in ALL} == set(ROLES)


def test_a_grant_is_named_after_all_that_it_is() -> None:
    # Else a second one takes the first one's place, or one that was changed cannot be deployed.
    for _, grant in grants():
        made_of = str(grant.body["name"]["function"])
        assert "'guid'" in made_of, grant.name
        principal = grant.body["properties"]["principalId"]
        for part in (grant.body["scope"], principal, role_of(grant)):
            assert f"'{part}'" in made_of, grant.name


def test_a_grant_has_its_reason_above_it() -> None:
    for file, grant in grants():
        before = file.text[: file.text.index(f"resource {grant.name} ")].rstrip("\n")
        assert before.rpartition("\n")[2].startswith("// "), grant.name


def test_who_it_is_granted_to_need_not_be_known_everywhere_yet() -> None:
    # A new identity is not known in all of Entra ID for a while: the type says not to look it up.
    # The deployer may be a person or a pipeline, and is known.
    for _, grant in grants():
        properties = grant.body["properties"]
        new = properties["principalId"] == APP
        assert (properties.get("principalType") == "ServicePrincipal") == new, grant.name


def test_a_role_that_the_app_asks_for_on_its_own_storage_is_granted() -> None:
    asked = set()
    for path in (*ROOT.glob("copy_core/service/*.py"), *ROOT.glob("copy_core/state/*.py")):
        asked |= set(re.findall(r"Storage \w+ Data \w+|Key Vault \w+ \w+", path.read_text("utf-8")))
    granted = {each.role for each in ALL if each.to == APP}
    granted |= {INCLUDED[each] for each in granted if each in INCLUDED}
    assert len(asked) > 1
    assert asked - granted == set()

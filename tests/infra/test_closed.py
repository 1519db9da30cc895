"""What is closed stays closed: keys, passwords, plain text, and the network where it is wanted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.infra.bicep import at, files, path_of, read


def properties(file: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = read(f"modules/{file}.bicep").resource(kind)["properties"]
    return found


def either(value: Any) -> tuple[str, Any, Any]:
    """The condition of a value, and both of what it may be."""
    operands = value["operator"]["operands"]
    return operands["condition"], operands["true_value"], operands["false_value"]


def test_storage_has_no_keys_and_nothing_public() -> None:
    account = properties("storage", "Microsoft.Storage/storageAccounts")
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["isLocalUserEnabled"] is False
    assert account["supportsHttpsTrafficOnly"] is True
    assert account["minimumTlsVersion"] == "TLS1_2"
    containers = [
        each.body["properties"]["publicAccess"]
        for each in read("modules/storage.bicep").resources
        if each.type.endswith("/containers")
    ]
    assert containers == ["None", "None"]


def test_a_job_file_that_was_removed_can_be_had_back() -> None:
    blobs = properties("storage", "Microsoft.Storage/storageAccounts/blobServices")
    for policy in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
        assert blobs[policy]["enabled"] is True
        assert blobs[policy]["days"] >= 7


def test_the_vault_keeps_what_was_removed_and_goes_by_roles() -> None:
    vault = properties("vault", "Microsoft.KeyVault/vaults")
    assert vault["enableRbacAuthorization"] is True
    assert vault["enableSoftDelete"] is True
    assert vault["enablePurgeProtection"] is True
    assert "accessPolicies" not in vault


@pytest.mark.parametrize(
    ("file", "kind"),
    [("storage", "Microsoft.Storage/storageAccounts"), ("vault", "Microsoft.KeyVault/vaults")],
)
def test_with_a_network_the_internet_is_shut_out(file: str, kind: str) -> None:
    found = properties(file, kind)
    assert either(found["publicNetworkAccess"]) == ("closed", "Disabled", "Enabled")
    assert either(found["networkAcls"]["defaultAction"]) == ("closed", "Deny", "Allow")
    assert found["networkAcls"]["bypass"] == "None"
    assert read("main.bicep").module(file)[1]["closed"] == "vnet"


def test_with_a_network_every_service_that_the_app_uses_has_an_endpoint() -> None:
    main, network = read("main.bicep"), read("modules/network.bicep")
    assert main.part("modules")["network"]["config"]["condition"] == "vnet"
    ids = {name: path_of(value) for name, value in main.module("network")[1].items()}
    assert (ids["storageId"], ids["vaultId"]) == ("storage.outputs.id", "vault.outputs.id")
    ways = {
        given["targetId"]: [each["name"] for each in given["services"]]
        for given in (network.module(name)[1] for name in network.part("modules"))
    }
    assert ways == {"storageId": ["blob", "queue", "table"], "vaultId": ["vault"]}


def test_the_app_waits_for_the_ways_to_its_storage() -> None:
    assert "vnet ? network!.outputs.appSubnetId : ''" in read("main.bicep").text


def test_the_app_takes_no_plain_text_and_no_password() -> None:
    site = properties("app", "Microsoft.Web/sites")
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == "1.2"
    assert site["siteConfig"]["scmMinTlsVersion"] == "1.2"
    assert site["siteConfig"]["ftpsState"] == "Disabled"
    passwords = {
        each.body["name"]: each.body["properties"]["allow"]
        for each in read("modules/app.bicep").resources
        if each.type.endswith("/basicPublishingCredentialsPolicies")
    }
    assert passwords == {"ftp": False, "scm": False}


def test_the_app_works_as_its_own_identity_everywhere() -> None:
    site = properties("app", "Microsoft.Web/sites")
    packages = site["functionAppConfig"]["deployment"]["storage"]["authentication"]
    assert packages["type"] == "UserAssignedIdentity"
    assert packages["userAssignedIdentityResourceId"] == "identityId"
    assert site["keyVaultReferenceIdentity"] == "identityId"


def test_telemetry_is_taken_with_a_token_only() -> None:
    assert properties("monitoring", "Microsoft.Insights/components")["DisableLocalAuth"] is True
    workspace = properties("monitoring", "Microsoft.OperationalInsights/workspaces")
    assert workspace["features"]["disableLocalAuth"] is True


def test_only_health_is_open_to_who_has_not_signed_in() -> None:
    from copy_core.web.security import OPEN

    auth = properties("auth", "Microsoft.Web/sites/config")
    validation = auth["globalValidation"]
    assert validation["requireAuthentication"] == "on"
    assert either(validation["unauthenticatedClientAction"]) == (
        "on", "Return401", "AllowAnonymous",
    )  # fmt: skip
    assert set(validation["excludedPaths"]) == OPEN
    assert auth["platform"]["enabled"] == "on"
    assert "identityProviders: !on ? {} : {" in read("modules/auth.bicep").text
    assert read("modules/auth.bicep").part("variables")["on"]["value"] == {
        "operator": {
            "type": "not",
            "operands": {
                "bool_value": {
                    "function": {"type": "empty", "parameters": {"item_to_test": "entraClientId"}}
                }
            },
        }
    }
    assert "clientSecretSettingName" not in str(auth)


def test_no_key_is_asked_for_and_no_secret_is_a_parameter() -> None:
    for path in files():
        text = at(path).text
        assert not re.search(r"list(Account)?(Keys|Secrets|Sas)\w*\(|AccountKey=", text), path.name
        assert "@secure" not in text, path.name

"""The app finds every setting that it reads, and nothing is set that nobody reads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from copy_core.service.jobs_registry import jobs_opener
from copy_core.service.settings import SETTINGS, Settings
from copy_core.state.azure_tables import TABLE
from copy_core.state.registry import state_opener
from tests.infra.bicep import ROOT, read
from tools import durable_backend

MONITORING = (ROOT / "docs/monitoring.md").read_text("utf-8")

# What the Functions host reads, by the name of its storage:
# https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
HOST = {
    "AzureWebJobsStorage__blobServiceUri": "keys, locks, and the packages",
    "AzureWebJobsStorage__queueServiceUri": "Durable Functions moves its work through queues",
    "AzureWebJobsStorage__tableServiceUri": "Durable Functions keeps histories in tables",
    "AzureWebJobsStorage__credential": "by identity, since there are no keys",
    "AzureWebJobsStorage__clientId": "which identity",
}

# What the app can read, and does without on Azure.
LEFT_OUT = {"COPYJOB_CONNECTIONS": "connections.yaml is beside the job files"}

# A Flex Consumption app with one of these is refused, or they say nothing there:
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
REFUSED = {
    "ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_PROCESS_COUNT", "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE", "WEBSITE_DNS_SERVER",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
    "WEBSITE_VNET_ROUTE_ALL",
}  # fmt: skip


def group(name: str) -> dict[str, Any]:
    """The settings of a variable of settings.bicep, as they are written."""
    value = read("modules/settings.bicep").part("variables")[name]["value"]
    if "operator" in value:  # only with a scheduler
        value = value["operator"]["operands"]["false_value"]
    found: dict[str, Any] = value
    return found


def test_all_groups_are_set_and_what_is_set_last_stands() -> None:
    [settings] = [each for each in read("modules/settings.bicep").resources if not each.existing]
    assert (settings.type, settings.body["name"]) == ("Microsoft.Web/sites/config", "appsettings")
    joined = settings.body["properties"]["function"]
    assert joined["type"] == "union"
    assert list(joined["parameters"].values()) == [
        "secretSettings", "hostSettings", "schedulerSettings", "telemetrySettings", "appSettings",
    ]  # fmt: skip


def test_a_secret_of_a_connection_is_a_setting_that_refers_to_the_vault() -> None:
    # The name of a variable becomes one that a vault takes: letters, digits and dashes.
    text = read("modules/settings.bicep").text
    reference = "'@Microsoft.KeyVault(SecretUri=${vaultUrl}secrets/${replace(name, '_', '-')})'"
    assert f"toObject(names, name => name, name => {reference})" in text


def test_the_app_reads_what_is_set_and_what_it_reads_is_set() -> None:
    read_by_app = {each.name for each in SETTINGS if "app" in each.readers and not each.given}
    assert set(group("appSettings")) == read_by_app - set(LEFT_OUT)


def test_nothing_is_left_out_that_the_app_needs() -> None:
    needed = {each.name for each in SETTINGS if "app" in each.needed_by}
    assert needed & set(LEFT_OUT) == set()
    assert set(LEFT_OUT) <= {each.name for each in SETTINGS}


def test_the_page_on_monitoring_and_infra_name_the_same_settings() -> None:
    table = MONITORING.partition("## On Azure: Application Insights")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", table, re.MULTILINE))
    assert set(group("telemetrySettings")) == set(documented)
    literal = {name: value.strip("`") for name, value in documented.items() if value[0] == "`"}
    assert len(literal) > 2
    assert {name: group("telemetrySettings")[name] for name in literal} == literal


def test_the_host_gets_what_it_needs_and_no_key() -> None:
    assert set(group("hostSettings")) == set(HOST)
    assert group("hostSettings")["AzureWebJobsStorage__credential"] == "managedidentity"


def test_the_host_file_names_the_setting_that_leads_to_the_scheduler(tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    shutil.copy(ROOT / "host.json", file)
    for backend in ("storage", "scheduler", "scheduler", "storage"):
        durable_backend.main(backend, file)
        host = json.loads(file.read_text("utf-8"))["extensions"]["durableTask"]
        if backend == "scheduler":
            assert host["storageProvider"]["type"] == "azureManaged"
            assert [host["storageProvider"]["connectionStringName"]] == [
                *group("schedulerSettings")
            ]
    assert file.read_bytes() == (ROOT / "host.json").read_bytes()
    with pytest.raises(SystemExit, match="COPYJOB_DURABLE is 'disk'"):
        durable_backend.main("disk", file)


def test_nothing_is_set_that_flex_consumption_refuses() -> None:
    names = {
        name
        for each in ("hostSettings", "schedulerSettings", "telemetrySettings", "appSettings")
        for name in group(each)
    }
    assert names & REFUSED == set()
    assert [name for name in names if not re.fullmatch(r"\w+", name)] == []


@pytest.mark.parametrize("sign_in", ["key", "entra"])
def test_the_app_starts_with_what_is_set(sign_in: str) -> None:
    given = {
        "jobsUrl": "https://stcopyjobabc.blob.core.windows.net/jobs",
        "stateUrl": "https://stcopyjobabc.table.core.windows.net",
        "signIn": sign_in,
        "identityClientId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    }
    environment = {
        name: given.get(value, value) if isinstance(value, str) else "90"
        for name, value in group("appSettings").items()
    } | {"WEBSITE_AUTH_ENABLED": str(sign_in == "entra")}
    settings = Settings.from_environment("app", environment)
    assert (settings.signed_in, settings.keep_days) == (sign_in == "entra", 90)


def test_an_address_is_one_that_the_app_understands() -> None:
    outputs = read("modules/storage.bicep").part("outputs")
    name = "stcopyjobabc"
    blobs = f"https://{name}.blob.core.windows.net/"
    written = outputs["jobsUrl"]["value"]
    container = read("modules/storage.bicep").part("variables")["jobs"]["value"]
    assert written == "${account.properties.primaryEndpoints.blob}${jobs}"
    jobs_opener(f"{blobs}{container}", {})
    written = outputs["stateUrl"]["value"]
    assert written == "https://${account.name}.table.${environment().suffixes.storage}"
    state_opener(f"https://{name}.table.core.windows.net", {})


def test_the_table_and_the_task_hub_are_the_ones_that_the_app_names() -> None:
    host = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["durableTask"]
    table = read("modules/storage.bicep").resource(
        "Microsoft.Storage/storageAccounts/tableServices/tables"
    )
    hub = read("modules/scheduler.bicep").resource("Microsoft.DurableTask/schedulers/taskHubs")
    assert table["name"] == TABLE
    assert hub["name"] == host["hubName"]
    assert "storageProvider" not in host

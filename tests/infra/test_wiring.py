"""No compiler of Bicep is at hand here: what it would say of names, modules and versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.bicep import INFRA, at, described, files

# What Bicep itself brings, as far as it is used:
# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
FUNCTIONS = {
    "cidrSubnet", "empty", "environment", "filter", "guid", "loadJsonContent", "loadTextContent",
    "map", "replace", "resourceGroup", "string", "split", "subscription",
    "subscriptionResourceId", "tenant", "toObject", "trim", "union", "uniqueString",
}  # fmt: skip

# No stable version knows groups of categories; every template of Microsoft's uses this one.
PREVIEWS = {"Microsoft.Insights/diagnosticSettings": "2021-05-01-preview"}

each_file = pytest.mark.parametrize("path", files(), ids=lambda path: path.name)


def test_there_is_something_to_check() -> None:
    assert {"main.bicep", "app.bicep", "alerts.bicep"} <= {path.name for path in files()}


@each_file
def test_it_is_bicep_that_says_what_it_is(path: Path) -> None:
    assert at(path).tree["metadata"]["description"]["value"]


@each_file
def test_no_resource_is_nested(path: Path) -> None:
    # pycep, and so checkov, sees the last of them only: say `parent:` instead.
    assert not re.search(r"^[ \t]+resource\s", path.read_text("utf-8"), re.MULTILINE)


@each_file
def test_what_is_used_is_declared(path: Path) -> None:
    file = at(path)
    assert file.used - file.declared == set()


@each_file
def test_what_is_called_exists(path: Path) -> None:
    assert at(path).functions - FUNCTIONS == set()


@each_file
def test_what_is_declared_is_used(path: Path) -> None:
    file = at(path)
    existing = {each.name for each in file.resources if each.existing}
    assert {*file.part("parameters"), *file.part("variables"), *existing} - file.used == set()


@each_file
def test_every_parameter_and_output_is_described(path: Path) -> None:
    file = at(path)
    all_of_them = {**file.part("parameters"), **file.part("outputs")}
    assert [name for name, each in all_of_them.items() if not described(each)] == []


@each_file
def test_every_number_has_bounds(path: Path) -> None:
    numbers = {n: p for n, p in at(path).part("parameters").items() if p["type"] == "int"}
    bounded = {
        name
        for name, each in numbers.items()
        if {"min_value", "allowed"} & {decorator["type"] for decorator in each["decorators"]}
    }
    assert set(numbers) == bounded


@each_file
def test_a_module_gets_what_it_asks_for(path: Path) -> None:
    file = at(path)
    for name in file.part("modules"):
        source, given = file.module(name)
        asked = at(source).part("parameters")
        required = {each for each, parameter in asked.items() if parameter["default"] is None}
        assert set(given) <= set(asked), name
        assert required <= set(given), name


@each_file
def test_an_output_that_is_used_exists(path: Path) -> None:
    file = at(path)
    for module, output in re.findall(r"\b(\w+)!?\.outputs\.(\w+)", file.code):
        source, _ = file.module(module)
        assert output in at(source).part("outputs"), f"{module}.outputs.{output}"


def test_no_output_is_made_for_nobody() -> None:
    for path in files():
        file = at(path)
        used = re.findall(r"\b(\w+)!?\.outputs\.(\w+)", file.code)
        for module in file.part("modules"):
            made = at(file.module(module)[0]).part("outputs")
            assert set(made) <= {output for name, output in used if name == module}, module


def test_every_module_is_deployed() -> None:
    deployed = {at(path).module(name)[0] for path in files() for name in at(path).part("modules")}
    assert deployed == set(files()) - {INFRA / "main.bicep"}


@each_file
def test_a_file_that_is_loaded_exists(path: Path) -> None:
    loaded = re.findall(r"\bload\w+\('([^']+)'", path.read_text("utf-8"))
    assert [name for name in loaded if not (path.parent / name).is_file()] == []


def test_a_type_has_one_version_and_it_is_stable() -> None:
    versions: dict[str, set[str]] = {}
    for path in files():
        for each in at(path).resources:
            versions.setdefault(each.type, set()).add(each.version)
    assert {kind: found for kind, found in versions.items() if len(found) > 1} == {}
    previews = {
        kind: version
        for kind, found in versions.items()
        for version in found
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", version)
    }
    assert previews == PREVIEWS


def test_resources_of_one_provider_have_versions_of_one_day() -> None:
    # A child whose version differs from its parent's is read by another schema.
    for path in files():
        versions = {each.type: each.version for each in at(path).resources}
        for kind, version in versions.items():
            parent = kind.rpartition("/")[0]
            assert versions.get(parent, version) == version, f"{path.name}: {kind}"


def test_names_are_within_what_azure_takes() -> None:
    suffix = 13  # the length of uniqueString()
    text = "".join(path.read_text("utf-8") for path in files())
    longest = {"stcopyjob": 24, "kv-copyjob-": 24}
    for name, most in longest.items():
        assert f"name: '{name}${{suffix}}'" in text
        assert len(name) + suffix <= most

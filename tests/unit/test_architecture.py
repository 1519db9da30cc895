"""The rules of the house that imports can tell."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([ROOT / "function_app.py", *ROOT.glob("copy_core/**/*.py")])
PURE = (
    *("plan", "watermark", "mapping", "schema", "decimals", "flow", "model", "job", "tally"),
    "errors",
)
SDKS = (
    *("azure", "deltalake", "adbc_driver_sqlite", "adbc_driver_manager"),
    *("boto3", "botocore", "pyodbc", "mssql_python", "mssql_py_core", "mssql_python_odbc"),
)
LONGEST = 450


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str) -> set[str]:
    return {
        name(path)
        for path in MODULES
        if any(i == package or i.startswith(f"{package}.") for i in imports(path))
    }


@pytest.mark.parametrize("package", ["azure.functions", "azure.durable_functions"])
def test_only_the_durable_runner_knows_the_functions_sdk(package: str) -> None:
    allowed = {"function_app.py", "copy_core/runners/durable.py"}
    assert importers(package) <= allowed | {"copy_core/runners/durable_launcher.py"}


@pytest.mark.parametrize("sdk", [s for s in SDKS if s != "azure"])
def test_a_vendor_sdk_is_imported_by_its_connector_alone(sdk: str) -> None:
    folders = ("copy_core/connectors/", "copy_core/demo")
    assert all(path.startswith(folders) for path in importers(sdk))


STORES = "copy_core/connectors/files/stores/"


@pytest.mark.parametrize("sdk", ["boto3", "botocore", "urllib3"])
def test_s3_is_known_to_its_store_alone(sdk: str) -> None:
    assert all(path.startswith(f"{STORES}s3") for path in importers(sdk))


STATE, JOBS = "copy_core/state/azure_tables.py", "copy_core/service/jobs_blob.py"
ENTRA, S3_LOGIN = "copy_core/entra.py", f"{STORES}s3_login.py"
LOGIN = "copy_core/connectors/sql/mssql/login.py"


@pytest.mark.parametrize(
    ("package", "stores"),
    [
        ("azure.data", {STATE}),
        ("azure.storage", {JOBS}),
        ("azure.identity", {ENTRA}),
        ("azure.core", {STATE, JOBS, LOGIN, ENTRA, S3_LOGIN, "copy_core/azure_errors.py"}),
        ("copy_core.azure_errors", {STATE, JOBS, ENTRA}),
    ],
)
def test_azure_storage_is_imported_by_its_store_alone(package: str, stores: set[str]) -> None:
    files = {path for path in importers(package) if path.startswith(f"{STORES}azure")}
    assert importers(package) <= stores | files


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_no_sdk(module: str) -> None:
    found = {i.split(".")[0] for i in imports(ROOT / "copy_core" / f"{module}.py")}
    assert found.isdisjoint(SDKS)


def test_settings_are_declared_in_one_place() -> None:
    """By their names: who reads one has it from there."""
    named = {
        name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch("COPYJOB_[A-Z_]*", str(node.value))
    }
    assert named == {"copy_core/service/settings.py"}


ENVIRONMENT = {
    "copy_core/service/settings.py": "ours, see there",
    "copy_core/secrets.py": "what connections refer to",
    "copy_core/state/registry.py": "likewise",
    "copy_core/service/jobs_registry.py": "likewise",
    "copy_core/cli/__init__.py": "handed to the settings, below the options",
    "copy_core/cli/common.py": "NO_COLOR, of the terminal",
    "copy_core/cli/notify.py": "NOTIFY_SOCKET, of systemd",
    "copy_core/demo.py": "handed to processes",
    "copy_core/entra.py": "AZURE_CLIENT_ID, declared with the settings",
    "copy_core/connectors/delta/azure.py": "AZURE_STORAGE_*, of delta-rs",
    "copy_core/connectors/sql/mssql/trust.py": "SSL_CERT_FILE, of OpenSSL",
    "copy_core/__init__.py": "of the allocators",
    "copy_core/allocator.py": "likewise",
}


def test_the_environment_is_read_by_few() -> None:
    readers = {
        name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers <= ENVIRONMENT.keys()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_a_room(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ).stdout
    return set(output.split())


def test_starting_the_functions_app_loads_no_data_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYJOB_JOBS", "https://shop.blob.core.windows.net/jobs")
    monkeypatch.setenv("COPYJOB_STATE", "https://shop.table.core.windows.net")
    loaded = loaded_by("import function_app")
    sdks = {"azure.data.tables", "azure.storage.blob", "azure.identity"}
    assert loaded.isdisjoint({"pyarrow", "deltalake", "adbc_driver_sqlite", "fastapi"} | sdks)


def test_a_store_loads_its_own_sdk_alone() -> None:
    own = {"local": set(), "s3": {"botocore"}, "azure": {"azure.storage.blob"}}
    for store, wanted in own.items():
        loaded = loaded_by(f"import copy_core.connectors.files.stores.{store}")
        sdks = {"botocore", "azure.storage.blob", "azure.identity", "deltalake", "pyodbc"}
        assert loaded & sdks == wanted


def test_a_folder_of_jobs_loads_no_sdk() -> None:
    loaded = loaded_by("from copy_core.service.catalog import Catalog, open_jobs; open_jobs('.')")
    assert loaded.isdisjoint({"azure", "pyarrow", "deltalake", "adbc_driver_sqlite"})


def test_starting_the_command_line_loads_no_data_library() -> None:
    loaded = loaded_by("import copy_core.cli")
    unneeded = {"pyarrow", "deltalake", "adbc_driver_sqlite", "azure", "pydantic", "rich"}
    assert loaded.isdisjoint(unneeded)


def test_a_copy_needs_the_api_of_opentelemetry_alone() -> None:
    loaded = loaded_by("import copy_core.steps")
    assert "opentelemetry.metrics" in loaded
    assert not any(name.startswith("opentelemetry.sdk") for name in loaded)


def test_starting_the_command_line_loads_no_telemetry() -> None:
    assert "opentelemetry" not in loaded_by("import copy_core.cli")

"""What azd takes from here: parameters, the service, and the package that goes up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from tests.infra.bicep import INFRA, ROOT, read

# What azd knows by itself: https://learn.microsoft.com/azure/developer/azure-developer-cli/environment-variables-faq
GIVEN = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID"}

OUTPUTS = {
    "AZURE_RESOURCE_GROUP", "COPYJOB_APP", "COPYJOB_URL", "COPYJOB_STORAGE", "COPYJOB_JOBS",
    "COPYJOB_STATE", "COPYJOB_VAULT", "COPYJOB_IDENTITY_NAME", "COPYJOB_IDENTITY_CLIENT_ID",
    "COPYJOB_IDENTITY_PRINCIPAL_ID", "COPYJOB_LOGS",
}  # fmt: skip


def variables() -> dict[str, tuple[str, str | None]]:
    """The variable of each parameter of main.bicep, and what holds where it is not set."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    found = {}
    for name, given in parameters.items():
        match = re.fullmatch(r"\$\{([A-Z_]+)(?:=(.*))?\}", given["value"])
        assert match, name
        found[name] = (match[1], match[2])
    return found


def test_every_parameter_has_a_variable() -> None:
    assert set(variables()) == set(read("main.bicep").part("parameters"))
    names = [variable for variable, _ in variables().values()]
    assert len(set(names)) == len(names)
    assert {n for n in names if not n.startswith("COPYJOB_")} == GIVEN


def test_without_its_variable_a_parameter_is_what_the_bicep_says() -> None:
    for name, (variable, default) in variables().items():
        if variable not in GIVEN:
            said = read("main.bicep").part("parameters")[name]["default"]
            assert default == (str(said).lower() if isinstance(said, bool) else str(said)), name


def test_the_outputs_are_the_ones_that_the_pages_name() -> None:
    assert set(read("main.bicep").part("outputs")) == OUTPUTS


def test_azd_finds_the_app_and_has_azure_install_its_packages() -> None:
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    [(name, service)] = azure["services"].items()
    hook = service.pop("hooks")["prepackage"]
    assert {each["run"].split()[-1] for each in hook.values()} == {"tools/durable_backend.py"}
    assert (ROOT / "tools/durable_backend.py").exists()
    assert service == {
        "project": ".",
        "host": "function",
        "language": "python",
        "remoteBuild": True,
    }
    assert f"'azd-service-name': '{name}'" in read("modules/app.bicep").text


def test_an_azd_that_would_pack_too_little_is_refused() -> None:
    # https://github.com/Azure/azure-dev/pull/7311
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    assert azure["requiredVersions"] == {"azd": ">= 1.23.13"}
    assert "version: 1.23.13" in (ROOT / ".github/workflows/deploy.yml").read_text("utf-8")


def test_the_app_runs_on_the_python_that_its_packages_are_pinned_for() -> None:
    site = read("modules/app.bicep").resource("Microsoft.Web/sites")["properties"]
    [pinned] = re.findall(r"^AZURE_PYTHON := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert site["functionAppConfig"]["runtime"] == {"name": "python", "version": pinned}


def test_what_scales_together_is_always_ready_together() -> None:
    app = read("modules/app.bicep")
    ready = str(app.part("variables")["ready"]["value"])
    each = "{{'name': '{}', 'instanceCount': 'alwaysReady'}}"
    assert f"[{each.format('http')}, {each.format('durable')}]" in ready
    config = app.resource("Microsoft.Web/sites")["properties"]["functionAppConfig"]
    assert config["scaleAndConcurrency"]["alwaysReady"] == "ready"


def test_only_the_app_goes_up() -> None:
    sent = {path.relative_to(ROOT) for path in goes_up(ROOT)}
    package = {
        path.relative_to(ROOT)
        for path in ROOT.glob("copy_core/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = {Path(name) for name in ("function_app.py", "host.json", "requirements.txt")}
    assert len(package) > 100
    assert sent == package | files


def goes_up(folder: Path) -> Iterator[Path]:
    """The files that azd packs: the last line of .funcignore that fits decides.

    A star stands for slashes too when azd reads, but in no other reader:
    https://github.com/denormal/go-gitignore/blob/master/pattern.go
    """
    for path in folder.iterdir():
        ignored = False
        for line in (ROOT / ".funcignore").read_text("utf-8").splitlines():
            if line and not line.startswith("#") and fits(line.removeprefix("!"), path):
                ignored = not line.startswith("!")
        if not ignored and path.is_dir():
            yield from goes_up(path)
        elif not ignored:
            yield path


def fits(pattern: str, path: Path) -> bool:
    if pattern.endswith("/") and not path.is_dir():
        return False
    whole = path.relative_to(ROOT).as_posix()
    if pattern.endswith("/**"):
        return f"{whole}/".startswith(pattern.removesuffix("**").lstrip("/"))
    if pattern.startswith("/"):
        return fnmatchcase(whole, pattern.strip("/"))
    return fnmatchcase(path.name, pattern.strip("/"))

"""What a user installs is what was promised."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import copy_core

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The `project` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    return table


def pinned(path: Path) -> dict[str, dict[str, str]]:
    """What a file of `make lock` installs: by name, its version and its hashes."""
    text = re.sub(r"(?m)^ *#.*\n", "", path.read_text()).replace("\\\n", "")
    lines = [line.split() for line in text.splitlines()]
    found = {}
    for requirement, *rest in lines:
        name, _, version = requirement.partition("==")
        marker = " ".join(rest).partition("--hash")[0]
        hashes = [each for each in rest if each.startswith("--hash=")]
        found[name] = {"version": version, "marker": marker, "hashes": " ".join(hashes)}
    return found


PINS = [HERE / "requirements.txt", *sorted(HERE.glob(".github/requirements/*.txt"))]


def test_azure_functions_installs_every_dependency_as_its_bounds_admit(
    project: dict[str, Any],
) -> None:
    pins = pinned(HERE / "requirements.txt")
    wanted = project["dependencies"] + project["optional-dependencies"]["azure-monitor"]
    for requirement in map(Requirement, wanted):
        version = pins[_normal(requirement.name)]["version"]
        assert requirement.specifier.contains(version), f"{requirement}, but {version}: make lock"


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_what_is_installed_for_us_is_pinned_by_hash(path: Path) -> None:
    for name, pin in pinned(path).items():
        assert re.fullmatch(r"[\w.]+", pin["version"]), name
        assert re.fullmatch(r"(--hash=sha256:[0-9a-f]{64} ?)+", pin["hashes"]), name


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_what_is_installed_for_us_comes_from_the_index_alone(path: Path) -> None:
    assert not re.search(r"(?m)^ *-(?!-hash=)|://| @ |\.whl", path.read_text())


@pytest.mark.parametrize("name", ["checks", "release"])
def test_the_tools_are_those_asked_for(name: str) -> None:
    folder = HERE / ".github" / "requirements"
    lines = (folder / f"{name}.in").read_text().splitlines()
    wanted = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = pinned(folder / f"{name}.txt")
    assert {each: pins[each]["version"] for each in wanted} == wanted


def test_the_pins_are_for_the_python_that_runs_on_azure() -> None:
    [python] = re.findall(r"(?m)^AZURE_PYTHON := (.+)$", (HERE / "Makefile").read_text())
    app = (HERE / "infra" / "modules" / "app.bicep").read_text()
    assert re.findall(r"name: 'python'\s+version: '(.+)'", app) == [python]
    # What another Python would need is not there, and so nothing asks which Python it is.
    markers = {pin["marker"] for pin in pinned(HERE / "requirements.txt").values()}
    assert markers == {""}


def test_azure_installs_what_is_pinned() -> None:
    [service] = yaml.safe_load((HERE / "azure.yaml").read_text())["services"].values()
    assert service["language"] == "python"
    assert service["remoteBuild"] is True


def test_bandit_leaves_to_ruff_what_ruff_checks() -> None:
    tools = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]
    only_an_import = {"B404"}
    skipped = {"S" + each[1:] for each in set(tools["bandit"]["skips"]) - only_an_import}
    lint = tools["ruff"]["lint"]
    assert "S" in lint["select"]
    # Random numbers are the one thing that is let through everywhere, with its reason.
    assert skipped & set(lint["ignore"]) == {"S311"}
    assert all(re.fullmatch(r"S(101|311|603|608)", each) for each in skipped)


def test_every_dependency_but_the_time_zones_stops_before_a_major(
    project: dict[str, Any],
) -> None:
    bound = re.compile(r">=.+,<(0\.)?\d+$")
    unbounded = [each for each in project["dependencies"] if not bound.search(each)]
    assert unbounded == ["tzdata"]


def test_the_version_has_one_source(project: dict[str, Any]) -> None:
    assert "version" in project["dynamic"]
    assert importlib.metadata.version("copyjob") == copy_core.__version__


def test_the_command_exists() -> None:
    [command] = importlib.metadata.entry_points(group="console_scripts", name="copyjob")
    assert callable(command.load())


def test_everything_imported_is_a_declared_dependency(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"].items()
    requirements = [
        *project["dependencies"],
        *(each for extra, some in extras if extra not in ("demo", "dev") for each in some),
    ]
    declared = {_normal(re.split(r"[\[<>=! ;]", each)[0]) for each in requirements}
    owners = importlib.metadata.packages_distributions()
    undeclared = [
        f"{path.relative_to(HERE)} imports {module}"
        for path in [*HERE.glob("copy_core/**/*.py"), *HERE.glob("function_app.py")]
        for module in _imports(path)
        if module not in sys.stdlib_module_names
        and module != "copy_core"
        and not declared & {_normal(owner) for owner in owners.get(module, [module])}
    ]
    assert undeclared == []


def test_a_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    # The backend is called as pip calls it, but here, so that no network is needed.
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=HERE, check=True)
    [wheel] = tmp_path.iterdir()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        path.relative_to(HERE).as_posix()
        for path in HERE.glob("copy_core/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == package


def _imports(path: Path) -> set[str]:
    """The packages that a module imports when it runs, not those that only type it."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    names: list[str] = []
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        nodes += ast.iter_child_nodes(node)
    return {name.partition(".")[0] for name in names}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()

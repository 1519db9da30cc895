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

import copy_core

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The `project` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    return table


def test_azure_functions_installs_exactly_the_dependencies(project: dict[str, Any]) -> None:
    lines = (HERE / "requirements.txt").read_text().splitlines()
    wanted = project["dependencies"] + project["optional-dependencies"]["azure-monitor"]
    assert [line for line in lines if line and not line.startswith("#")] == wanted


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

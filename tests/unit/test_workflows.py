"""What GitHub runs is what is here."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(HERE.glob(".github/workflows/*.yml"))

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def steps(path: Path) -> list[dict[str, Any]]:
    """The steps of all jobs."""
    workflow = yaml.safe_load(path.read_text())
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["mssql.yml"]


@each_workflow
def test_what_it_makes_is_a_target(path: Path) -> None:
    commands = "\n".join(step.get("run", "") for step in steps(path))
    made = re.findall(r"^make (\S+)", commands, re.MULTILINE)
    assert made
    targets = re.findall(r"^([a-z-]+):", (HERE / "Makefile").read_text(), re.MULTILINE)
    assert set(made) <= set(targets)


@each_workflow
def test_an_action_of_others_is_pinned_to_one_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


@each_workflow
def test_it_may_only_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


def test_the_live_tests_know_the_server_that_is_started() -> None:
    [job] = yaml.safe_load((HERE / ".github/workflows/mssql.yml").read_text())["jobs"].values()
    server = job["services"]["mssql"]
    assert job["strategy"]["matrix"]["version"] == ["2022", "2025"]
    password = server["env"]["MSSQL_SA_PASSWORD"]
    assert f";PWD={password};" in job["env"]["COPYJOB_TEST_MSSQL"]
    assert f"-P {password} " in server["options"]


def test_the_live_tests_fail_without_a_server() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "COPYJOB_TEST_MSSQL"}
    made = subprocess.run(
        ["make", "test-mssql"],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert "COPYJOB_TEST_MSSQL names no server" in made.stderr


def test_only_who_asks_for_the_live_tests_runs_them(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getini("testpaths") == ["tests"]
    assert "tests/mssql" in pytestconfig.getini("norecursedirs")

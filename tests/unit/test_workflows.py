"""What GitHub runs is what is here, with no more rights than it needs."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parents[2]
FOLDER = HERE / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PYTHONS = ["3.11", "3.12", "3.13"]

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def load(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key `on` as true."""
    workflow: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text())
    workflow["on"] = workflow.pop(True)
    return workflow


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(path.name)["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """The steps of all jobs."""
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


def commands(job: dict[str, Any]) -> str:
    """What a job types."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_there_are_workflows() -> None:
    names = [path.stem for path in WORKFLOWS]
    assert names == ["ci", "deploy", "mssql", "release", "security"]


def test_what_they_make_are_targets() -> None:
    typed = "\n".join(step.get("run", "") for path in WORKFLOWS for step in steps(path))
    made = set(re.findall(r"^make (\S+)", typed, re.MULTILINE))
    assert made == {
        *("test", "lint", "lock", "coverage", "infra-check"),
        *("audit", "advisories", "test-mssql"),
    }
    targets = re.findall(r"^([a-z-]+):", (HERE / "Makefile").read_text(), re.MULTILINE)
    assert made <= set(targets)


@each_workflow
def test_an_action_of_others_is_pinned_to_one_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (?!\./)(.+)", path.read_text())
    assert all(
        re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used
    )


def test_one_action_is_one_version_everywhere() -> None:
    used = {use for path in WORKFLOWS for use in re.findall(r"uses: (.+)", path.read_text())}
    assert len({use.split("@")[0] for use in used}) == len(used)


def writes() -> Iterator[str]:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for right, level in job["permissions"].items():
                if level == "write":
                    yield f"{path.stem}.{name}: {right}"
                else:
                    assert (right, level) == ("contents", "read")


def test_who_may_write_what() -> None:
    assert sorted(writes()) == [
        "deploy.deploy: id-token",
        "release.announce: contents",
        "release.attest: attestations",
        "release.attest: id-token",
        "release.publish: id-token",
        "security.codeql: security-events",
    ]


@each_workflow
def test_rights_are_given_to_jobs_alone(path: Path) -> None:
    assert load(path.name)["permissions"] == {}


@each_workflow
def test_no_run_is_endless_or_beside_another(path: Path) -> None:
    assert "group" in load(path.name)["concurrency"]
    assert all("timeout-minutes" in job for job in jobs(path).values() if "uses" not in job)


@each_workflow
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    out = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in out)


@each_workflow
def test_nothing_that_others_wrote_becomes_a_command(path: Path) -> None:
    assert not any("${{" in step.get("run", "") for step in steps(path))


@each_workflow
def test_it_holds_no_secret(path: Path) -> None:
    assert not re.search(r"\bsecrets(\.|\[|: inherit)", path.read_text())


@each_workflow
def test_no_stranger_starts_it_with_rights(path: Path) -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(load(path.name)["on"])


def test_every_python_is_tested() -> None:
    ci, release = load("ci.yml")["jobs"], load("release.yml")["jobs"]
    assert ci["test"]["strategy"]["matrix"]["python"] == PYTHONS
    assert release["try"]["strategy"]["matrix"]["python"] == PYTHONS
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    said = [name.rpartition(" ")[2] for name in project["classifiers"] if " 3." in name]
    assert said == PYTHONS
    assert project["requires-python"] == f">={PYTHONS[0]}"


def test_the_whole_test_command_runs() -> None:
    ci = load("ci.yml")["jobs"]
    assert "make test" in commands(ci["test"])
    assert "make coverage" in commands(ci["coverage"])
    assert "make infra-check" in commands(ci["azure"])


def test_what_is_pinned_is_compared_with_what_is_wanted() -> None:
    assert "make lock\ngit diff --exit-code" in commands(load("ci.yml")["jobs"]["lint"])


def test_the_app_is_started_from_what_azure_installs() -> None:
    job = load("ci.yml")["jobs"]["azure"]
    [python] = [step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    makefile = (HERE / "Makefile").read_text()
    assert f"AZURE_PYTHON := {python['python-version']}\n" in makefile
    assert 'pip" install --require-hashes --requirement requirements.txt' in commands(job)


def test_the_container_is_built_and_started() -> None:
    typed = commands(load("ci.yml")["jobs"]["container"])
    [file] = re.findall(r"docker build --file (\S+)", typed)
    assert (HERE / file).is_file()
    assert "docker run" in typed


def test_what_we_use_is_looked_up_weekly() -> None:
    assert "schedule" in load("security.yml")["on"]


def test_a_secret_is_looked_for_in_the_history_too() -> None:
    job = load("security.yml")["jobs"]["audit"]
    [checkout] = [step["with"] for step in job["steps"] if "uses" in step]
    assert checkout["fetch-depth"] == 0
    assert "make audit" in commands(job)


def test_a_deployment_is_asked_for_by_hand_and_approved() -> None:
    workflow = load("deploy.yml")
    assert list(workflow["on"]) == ["workflow_dispatch"]
    assert workflow["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    assert workflow["concurrency"]["cancel-in-progress"] is False


def test_a_deployment_logs_in_by_oidc_and_passes_on_every_parameter() -> None:
    job = load("deploy.yml")["jobs"]["deploy"]
    assert "azd auth login --federated-credential-provider github" in commands(job)
    assert all(value == f"${{{{ vars.{name} }}}}" for name, value in job["env"].items())
    parameters = json.loads((HERE / "infra/main.parameters.json").read_text())["parameters"]
    named = set(re.findall(r"\$\{(\w+)", json.dumps(parameters)))
    of_azd = {"AZURE_PRINCIPAL_ID"}  # who has logged in
    login = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}
    assert set(job["env"]) == named - of_azd | login


def test_a_release_is_built_once_tried_and_attested_before_it_is_published() -> None:
    release = load("release.yml")["jobs"]
    needs = {name: job["needs"] for name, job in release.items() if "needs" in job}
    assert needs == {
        "try": "build",
        "attest": ["checks", "try"],
        "publish": "attest",
        "announce": "publish",
    }
    assert release["checks"]["uses"] == "./.github/workflows/ci.yml"
    builders = [n for n, job in release.items() if " build" in commands({"steps": [], **job})]
    assert builders == ["build"]
    attested = [step for step in release["attest"]["steps"] if "actions/attest@" in step["uses"]]
    assert [step["with"] for step in attested] == [{"subject-path": "dist/*"}]


def test_a_release_is_signed_and_published_without_a_password() -> None:
    job = load("release.yml")["jobs"]["publish"]
    assert job["environment"]["name"] == "pypi"
    typed = commands(job)
    assert '/pypi-attestations" sign dist/*' in typed
    assert '/uv" publish --trusted-publishing always dist/*' in typed
    assert "--require-hashes --requirement .github/requirements/release.txt" in typed


@pytest.mark.parametrize(
    ("tag", "log", "notes"),
    [
        ("v1.2.3", "## Unreleased\n\n- new\n\n## 1.2.3\n\n- ours\n\n## 1.2.2\n- old\n", "- ours"),
        ("v1.2.3", "## 1.2.3 (2026-12-01)\n\n- ours\n", "- ours"),
        ("v1.2.3", "## Unreleased\n\n- new\n", None),
        ("v1.2.3", "## 1.2.3\n\n## 1.2.2\n\n- old\n", None),
        ("v1.2.4", "## 1.2.4\n\n- ours\n", None),
    ],
)
def test_a_release_says_what_the_changelog_says(
    tmp_path: Path, tag: str, log: str, notes: str | None
) -> None:
    [script] = [
        step["run"]
        for step in load("release.yml")["jobs"]["build"]["steps"]
        if step.get("name") == "What the changelog says of this version"
    ]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{log}")
    (tmp_path / "copy_core").mkdir()
    (tmp_path / "copy_core/__init__.py").write_text('"""It."""\n\n__version__ = "1.2.3"\n')
    ran = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )
    if notes is None:
        assert ran.returncode == 1
        assert ran.stdout.startswith("::error::")
    else:
        assert ran.returncode == 0, ran.stderr
        assert (tmp_path / "notes/notes.md").read_text().strip() == notes


def test_dependabot_watches_every_place_that_names_a_version() -> None:
    updates = yaml.safe_load((HERE / ".github/dependabot.yml").read_text())["updates"]
    watched = {(each["package-ecosystem"], each["directory"]) for each in updates}
    assert watched == {("pip", "/"), ("uv", "/.github/requirements"), *_images()} | {
        ("github-actions", "/")
    }
    assert all(each["cooldown"]["default-days"] >= 7 and each["groups"] for each in updates)
    # Nothing here is a package of Node.
    assert not [path for path in _folders() if (path / "package.json").exists()]


def _folders() -> Iterator[Path]:
    """The folders of the project, without those of tools."""
    yield HERE
    for top in HERE.iterdir():
        if top.is_dir() and not top.name.startswith("."):
            yield top
            yield from (path for path in top.rglob("*") if path.is_dir())


def _images() -> Iterator[tuple[str, str]]:
    """The folders with a container file."""
    for folder in _folders():
        if any(re.search("(?i)(docker|container)file", path.name) for path in folder.iterdir()):
            yield "docker", f"/{folder.relative_to(HERE).as_posix()}"


def test_the_live_tests_know_the_server_that_is_started() -> None:
    [job] = load("mssql.yml")["jobs"].values()
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

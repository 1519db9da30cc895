"""docs/on-premises.md installs what it says, and that serves."""

from __future__ import annotations

import re
import shlex
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from copy_core.jobfile import load
from copy_core.service.settings import SETTINGS, Settings
from tests import servers
from tests.docs.pages import ROOT, blocks, text_of
from tests.onprem import test_proxy
from tests.ports import ports_of_ones_own

PAGE = "docs/on-premises.md"
FILES = ROOT / "infra/onprem"
UNIT = (FILES / "copyjob.service").read_text("utf-8")
# What belongs to the whole machine is left alone.
STUBS = """\
set -eu
sudo() { "$@"; }
systemctl() { echo "systemctl $*"; }
systemd-sysusers() { :; }
apt-get() { :; }
"""
CONNECTIONS = """\
connections:
  erp: {type: sqlite, path: erp.db}
"""
JOB = """\
name: erp
source: erp
destination: lake
tables: [{source: orders}]
connections:
  lake: {type: delta, root: lake}
"""


def scripts(heading: str) -> list[str]:
    """The blocks of shell of a section."""
    [section] = re.findall(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(PAGE), re.MULTILINE | re.DOTALL
    )
    return [block.text for block in blocks(PAGE, "sh") if block.text in section]


def of_unit(name: str) -> list[str]:
    """The values of a setting of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


class Machine:
    """A folder in place of a machine's root, and a terminal in a clone of this repository."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, str(port)

    def here(self, text: str) -> str:
        """Text that names places of the machine, as it names them in the folder."""
        return re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{self.root}/\1/", text)

    def type(self, *script: str) -> str:
        """Types what a page shows; returns what was printed."""
        # What copyjob needs is lent from here, so that no test downloads it.
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        pth = f"{self.root}/opt/copyjob/lib/{version}/site-packages/lent.pth"
        lend = f"echo {shlex.quote(sysconfig.get_path('purelib'))} >{pth}\n"
        made = "python3 -m venv /opt/copyjob\n"
        text = "".join(script).replace(made, f"{shlex.quote(sys.executable)}{made[7:]}{lend}")
        done = subprocess.run(
            ["bash", "-c", STUBS + self.here(text).replace("8080", self.port)],
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "PIP_NO_INDEX": "1",
                "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as "no isolation"
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def file(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ports_of_ones_own(1) as [port]:
        yield Machine(tmp_path, port)


def environment_of(file: Path) -> dict[str, str]:
    """An environment file, as a service manager reads it."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line and line[0] != "#"]
    parted = [line.partition("=") for line in lines]
    return {name: "".join(shlex.split(value)) for name, _, value in parted}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Where a service manager listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        yield listening


def test_what_is_installed_starts_and_copies(
    machine: Machine, manager: socket.socket, tmp_path: Path
) -> None:
    machine.type(*scripts("3. Install"))
    [environment] = of_unit("EnvironmentFile")
    settings = machine.file(environment)
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert machine.file("/etc/systemd/system/copyjob.service").read_text("utf-8") == UNIT

    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "connections.yaml").write_text(CONNECTIONS, "utf-8")
    (jobs / "erp.yaml").write_text(JOB, "utf-8")
    rows = "CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1), (2)"
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sqlite3; sqlite3.connect('erp.db').executescript('{rows}')",
        ],
        cwd=jobs,
        check=True,
    )
    given = environment_of(settings) | {"COPYJOB_JOBS": str(jobs), "COPYJOB_STATE": "state.db"}
    [command] = of_unit("ExecStart")
    with subprocess.Popen(
        [*shlex.split(machine.here(command)), "--port", machine.port],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": manager.getsockname(), **given},
        stdout=subprocess.DEVNULL,
        preexec_fn=servers.die_with_parent,  # noqa: PLW1509 - it takes no lock
    ) as service:
        assert manager.recv(100) == b"READY=1"
        said = machine.type(*scripts("4. Connections and a first job")[1:])
        service.terminate()
        assert service.wait() == 0
    assert "systemctl enable --now copyjob" in said
    assert '"ok":true' in said.replace(" ", "")
    assert '"run_id"' in said


def test_the_connections_and_the_job_that_are_shown_load(tmp_path: Path) -> None:
    connections, job = blocks(PAGE, "yaml")
    (tmp_path / "connections.yaml").write_text(connections.text, "utf-8")
    (tmp_path / "erp.yaml").write_text(job.text, "utf-8")
    assert load(tmp_path / "erp.yaml").job.schedules


def test_the_settings_that_are_shown_are_settings() -> None:
    shown = environment_of(FILES / "copyjob.env")
    shown = {name: value.replace("ACCOUNT", "contoso") for name, value in shown.items()}
    settings = Settings.from_environment("serve", shown)
    assert settings.jobs == shown["COPYJOB_JOBS"]
    assert settings.state == shown["COPYJOB_STATE"]
    ours = {name for name in shown if name.startswith("COPYJOB_")}
    assert ours <= {setting.name for setting in SETTINGS}


def test_the_user_of_the_unit_is_made() -> None:
    made = (FILES / "copyjob.sysusers").read_text("utf-8").splitlines()[-1]
    [home] = of_unit("StateDirectory")
    assert made.split()[:2] == ["u", *of_unit("User")]
    assert made.split()[-1] == f"/var/lib/{home}"


def test_the_firewall_lets_out_what_is_asked_for() -> None:
    hosts = {host.removesuffix(":443") for host in test_proxy.HOSTS}
    named = {"onprem.s3.eu-central-1": "BUCKET.s3.REGION", "eu-central-1": "REGION"}
    wanted = set()
    for host in hosts:
        for real, placeholder in [*named.items(), ("onprem", "ACCOUNT")]:
            host = host.replace(real, placeholder)  # noqa: PLW2901 - it is the same host
        wanted.add(f"`{host}`")
    assert {host for host in wanted if host not in text_of(PAGE)} == set()

"""Who follows the quickstart alone reaches a scheduled copy, and sees what the page shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from copy_core.cli import main
from tests.docs.newcomer import Newcomer
from tests.docs.pages import ROOT, blocks
from tests.docs.quickstart import PAGE, connections_for, job_for

_VARIES = [
    (r"\d{8}T\d{6}-[0-9a-f]{6,12}", "RUN"),
    (r"copyjob_doctor_[0-9a-f]{12}", "TABLE"),
    (r"^\d\d:\d\d:\d\d ", ""),
    (r"(\d\.\d s) +[\d.k]+$", r"\1"),  # rows per second
    (r"\d+(\.\d)? s\b", "TIME"),
    (r"\d+\.\d kB", "SIZE"),
    (r"(RUN succeeded) \S+ \S+", r"\1"),
    (r'("started_at"|"ended_at"|"next"):"[^"]*"', r"\1"),
    (r'("bytes_written"):\d+', r"\1"),
]

BEFORE = {
    # What copyjob needs is lent from here, so that no test downloads it.
    ".venv/bin/pip install": f"echo {shlex.quote(sysconfig.get_path('purelib'))}"
    " > $(echo .venv/lib/python3*/site-packages)/lent.pth",
    # The schedule of each minute then starts one run, and no other while that is shown.
    "copyjob serve": "while [ $(date +%-S) -gt 15 ]; do sleep 1; done",
}


def constant(text: str) -> list[str]:
    """The lines that were printed, without what differs each time."""
    lines = []
    for line in text.strip().splitlines():
        if line.startswith('{"object"'):
            preview = json.loads(line)
            lines.append(json.dumps(preview | {"rows": sorted(preview["rows"])}))
            continue
        plain = re.sub(r"\s+", " ", line)
        for pattern, instead in _VARIES:
            plain = re.sub(pattern, instead, plain)
        lines.append(plain)
    return lines


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What pip needs of a fresh clone."""
    folder = tmp_path / "copyjob"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "copy_core", folder / "copy_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def shown() -> list[list[str]]:
    """What the page says that each of its blocks of commands prints."""
    outputs: list[list[str]] = []
    for block in blocks(PAGE, "sh", "text"):
        if block.language == "sh":
            outputs.append([])
        else:
            assert outputs[-1] == [], "two outputs of one block"
            outputs[-1] = constant(block.text)
    return outputs


@pytest.mark.timeout(300)
def test_every_command_prints_what_the_page_shows(tmp_path: Path, clone: Path) -> None:
    typed = Newcomer(tmp_path).follow(PAGE, clone, BEFORE)
    assert [constant(printed) for _, printed in typed] == shown()
    assert not list(tmp_path.glob(".c*")), "something was left in the home of the reader"


def test_the_connection_for_files_leads_to_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("exports").mkdir()
    rows = "id,amount,changed\n1,9.90,2026-01-01 10:00:00\n2,5,2026-01-02 11:30:00\n"
    Path("exports/orders.csv").write_text(rows, "utf-8")
    Path("connections.yaml").write_text(connections_for("local"), "utf-8")
    job = job_for("orders.csv", "keys: [id]", "destination: orders")
    Path("orders.yaml").write_text(job, "utf-8")
    for command in (["doctor", "shop"], ["validate", "orders.yaml"], ["run", "orders.yaml"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    assert "1 copied · 2 rows" in done.output
    assert Path("lake/orders/_delta_log").is_dir()

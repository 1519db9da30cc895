"""The demo ends well, and would notice if it did not."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from copy_core import demo_data
from copy_core.cli import main
from copy_core.demo import Demo
from copy_core.demo_data import KEYS


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo that ended well, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    command = [sys.executable, "-m", "copy_core.cli", "demo", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_a_run_is_killed_half_way_and_repaired(played: tuple[Path, str]) -> None:
    _, said = played
    steps = ["first load", "Rows arrive", "Killed", "took up where", "Every figure agrees"]
    assert [said.index(step) for step in steps] == sorted(said.index(step) for step in steps)
    assert "✗" not in said
    assert f"cd {played[0]}" in said


def test_every_row_is_in_the_lake(played: tuple[Path, str]) -> None:
    rows = {
        name: DeltaTable(played[0] / "lake" / name).to_pyarrow_table().num_rows for name in KEYS
    }
    assert rows == {
        "airlines": 16,
        "airports": 1458,
        "planes": 3322,
        "flights": 336776,
        "weather": 26115,
    }


def test_the_job_file_is_there_to_be_played_with(played: tuple[Path, str]) -> None:
    job = str(played[0] / "job.yaml")
    assert CliRunner().invoke(main, ["validate", job]).exit_code == 0
    plan = CliRunner().invoke(main, ["plan", job]).stdout
    assert "flights  nothing new" in plan


def test_a_figure_that_differs_makes_it_fail(
    played: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = played
    change = "UPDATE planes SET seats = seats {} 1 WHERE rowid = 1"
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute(change.format("+"))
    demo = Demo(folder)
    demo.compare()
    assert demo.end(0.0) == 1
    assert "17 of 18 equal" in capsys.readouterr().out
    with closing(sqlite3.connect(folder / "source.db")) as db, db:
        db.execute(change.format("-"))


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = CliRunner().invoke(main, ["demo", str(tmp_path)])
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_its_rows_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "find_spec", lambda _: None)
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "copyjob[demo]" in result.stderr
    assert not (tmp_path / "new").exists()

"""The command line, as people and programs call it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from copy_core.cli import main
from copy_core.connectors import memory
from copy_core.errors import ConflictError
from copy_core.model import RunRequest
from copy_core.reset import reset
from copy_core.state import lease, process, tables
from copy_core.state.sqlite import SqliteStateStore

ROWS = pa.table({"id": [1, 2, 3], "changed": [10, 20, 30], "name": ["a", "b", "c"]})
JOB: dict[str, Any] = {
    "name": "trial",
    "source": "here",
    "destination": "there",
    "connections": {
        "here": {"type": "memory", "name": "here"},
        "there": {"type": "memory", "name": "there"},
    },
    "tables": [
        {"source": "whole", "write": "overwrite"},
        {
            "source": "growing",
            "mode": "incremental",
            "incremental_column": "changed",
            "write": "append",
            "parts": 2,
        },
    ],
}


@pytest.fixture
def here() -> Iterator[memory.MemoryStore]:
    """The source, with two tables; both ends are empty again afterwards."""
    store = memory.store("here")
    store.put("whole", ROWS, keys=["id"])
    store.put("growing", ROWS, keys=["id"])
    yield store
    store.clear()
    memory.store("there").clear()


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file."""
    return _write(tmp_path, JOB)


@pytest.fixture
def state(job: Path) -> Iterator[SqliteStateStore]:
    """Where the job's state is when nothing else is said."""
    with SqliteStateStore(job.parent / ".copyjob" / "state.db") as store:
        yield store


def _write(folder: Path, job: dict[str, Any]) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def call(*args: str | Path, **options: Any) -> Result:
    """Calls the command in this process."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _hold(store: SqliteStateStore) -> lease.Lease:
    owner = lease.Owner(run_id="other-run", holder="copyjob run", process=process.this())
    return lease.claim(store, "trial", 60, owner)


def _there(table: str) -> int:
    return len(memory.store("there").read(table))


def test_validate_says_what_it_found(job: Path) -> None:
    result = call("validate", job)
    assert (result.exit_code, result.stdout) == (0, "ok: trial: 2 tables, 2 connections\n")


def test_validate_shows_every_mistake_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "name: x\nsource: a\ndestination: b\ntables:\n  - source: t\n    wriet: append\n"
    )
    result = call("validate", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    places = [f"{file}:{line}:" for line in (2, 3, 6)]
    assert [any(p in line for line in result.stderr.splitlines()) for p in places] == [True] * 3


def test_a_missing_file_is_told_in_one_line(tmp_path: Path) -> None:
    result = call("run", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert str(tmp_path / "none.yaml") in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("here")
def test_run_copies_and_says_what(job: Path) -> None:
    result = call("run", job)
    assert result.exit_code == 0
    assert _there("whole") == _there("growing") == 3
    assert "growing: copied 3 rows" in result.stdout
    assert "2 copied" in result.stdout
    assert "up to 30" in result.stdout
    again = call("run", job)
    assert "growing: nothing new" in again.stdout
    assert "1 copied, 1 unchanged" in again.stdout


@pytest.mark.usefixtures("here")
def test_run_prints_nothing_but_its_summary_as_json(job: Path) -> None:
    result = call("run", job, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    assert summary["job"] == "trial"
    assert summary["status"] == "succeeded"
    assert {"run_id", "started_at", "ended_at"} <= set(summary)
    whole, growing = summary["tables"]
    assert (whole["load_type"], whole["rows_written"], whole["error"]) == ("full", 3, None)
    assert (growing["parts"], growing["lower_bound"], growing["upper_bound"]) == (2, None, "30")
    assert set(growing) >= {
        "source", "destination", "status", "load_type", "rows_read", "rows_written", "files_read",
        "files_written", "bytes_read", "bytes_written", "lower_bound", "upper_bound", "parts",
        "retries", "duration_s", "rows_per_s", "error",
    }  # fmt: skip


@pytest.mark.usefixtures("here")
def test_a_quiet_run_says_nothing(job: Path) -> None:
    result = call("run", job, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.usefixtures("here")
def test_run_copies_the_tables_that_are_named(job: Path) -> None:
    assert call("run", job, "--table", "whole").exit_code == 0
    assert sorted(memory.store("there").tables) == ["whole"]


def test_a_table_that_fails_makes_the_run_fail(here: memory.MemoryStore, job: Path) -> None:
    here.drop("whole")
    result = call("run", job)
    assert result.exit_code == 1
    assert _there("growing") == 3
    assert "1 copied, 1 failed" in result.stdout
    assert "table whole" in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.output


def test_an_error_of_many_tables_is_told_once(here: memory.MemoryStore, tmp_path: Path) -> None:
    here.put("other", ROWS)
    broken = {"mode": "incremental", "incremental_column": "nmae", "write": "append"}
    entries = [{"source": name, **broken} for name in ("whole", "growing", "other")]
    result = call("run", _write(tmp_path, JOB | {"tables": entries}))
    assert result.exit_code == 1
    assert result.stderr.count("error:") == 1
    assert "tables whole, growing, other" in result.stderr


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", ["run", "plan", "reset"])
def test_an_unknown_table_is_refused_with_the_nearest(command: str, job: Path) -> None:
    result = call(command, job, "--table", "growign", *["--yes"] * (command == "reset"))
    assert result.exit_code == 2
    assert "Did you mean growing?" in result.stderr
    assert memory.store("there").tables == {}


def test_an_unknown_connection_is_refused(tmp_path: Path) -> None:
    result = call("run", _write(tmp_path, JOB | {"destination": "theer"}))
    assert result.exit_code == 2
    assert "theer" in result.stderr


def test_a_secret_that_is_not_set_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COPYJOB_TEST_KEY", raising=False)
    lake = {"type": "delta", "root": "lake", "storage": {"account_key": "${env:COPYJOB_TEST_KEY}"}}
    connections = JOB["connections"] | {"there": lake}
    path = _write(tmp_path, JOB | {"connections": connections})
    result = call("run", path)
    assert result.exit_code == 2
    assert "COPYJOB_TEST_KEY" in result.stderr
    assert json.loads(call("status", path, "--json").stdout)["runs"] == []


def test_a_bad_state_address_is_refused(job: Path) -> None:
    result = call("run", job, "--state", "redis://somewhere")
    assert result.exit_code == 2
    assert "fix:" in result.stderr


@pytest.mark.usefixtures("here")
def test_the_state_may_be_named_by_the_environment(job: Path, tmp_path: Path) -> None:
    result = call("run", job, env={"COPYJOB_STATE": str(tmp_path / "mine.db")})
    assert result.exit_code == 0
    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / ".copyjob").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [["run"], ["reset", "--all", "--yes"]])
def test_a_job_that_is_held_is_left_alone(
    command: list[str], job: Path, state: SqliteStateStore
) -> None:
    held = _hold(state)
    result = call(command[0], job, *command[1:])
    assert result.exit_code == 3
    assert str(held) in result.stderr
    assert f"process {os.getpid()}" in result.stderr
    assert memory.store("there").tables == {}
    assert lease.holder_of(state, "trial") == held


@pytest.mark.usefixtures("here")
def test_plan_shows_each_part_and_writes_nothing(job: Path, state: SqliteStateStore) -> None:
    result = call("plan", job)
    assert result.exit_code == 0
    assert "growing  full load, about 3 rows, append, 2 parts" in result.stdout
    assert "changed up to 30" in result.stdout
    assert "part 1: row number >= 1" in result.stdout
    assert state.list("trial") == []
    assert memory.store("there").tables == {}


@pytest.mark.usefixtures("here")
def test_plan_says_when_nothing_is_new(job: Path) -> None:
    call("run", job)
    assert "growing  nothing new" in call("plan", job, "--table", "growing").stdout


def test_plan_gives_the_window_of_what_is_new(here: memory.MemoryStore, job: Path) -> None:
    call("run", job)
    here.append("growing", ROWS.slice(0, 1).set_column(1, "changed", pa.array([40])))
    plan = json.loads(call("plan", job, "--json").stdout)
    [growing] = [table for table in plan["tables"] if table["source"] == "growing"]
    assert growing["action"] == "copy"
    assert growing["load_type"] == "incremental"
    assert (growing["lower_bound"], growing["upper_bound"], growing["sequence"]) == ("30", "40", 2)
    assert all("changed" in part["predicate"] for part in growing["parts"])


def test_plan_fails_for_a_table_that_cannot_be_planned(here: memory.MemoryStore, job: Path) -> None:
    here.drop("whole")
    result = call("plan", job)
    assert result.exit_code == 1
    assert "whole  cannot be planned" in result.stdout
    assert "growing  full load" in result.stdout
    assert "table whole" in result.stderr


def _leave_pending(job: Path, state: SqliteStateStore) -> None:
    """Leaves the job as a run does that staged one of two parts and died."""
    from copy_core.context import Context
    from copy_core.jobfile import load
    from copy_core.steps import Steps

    steps = Steps(Context(*load(job), state))
    request = RunRequest(run_id="dead", job="trial")
    at = {**request.to_json(), "table": "growing"}
    assert steps.begin(at).status == "done"
    planned = steps.plan(at)
    assert steps.copy_part(at | planned.value | {"part": 0}).status == "done"
    lease.release(state, "trial", "dead")


@pytest.mark.usefixtures("here")
def test_what_a_dead_run_left_is_shown(job: Path, state: SqliteStateStore) -> None:
    _leave_pending(job, state)
    assert "growing  resumes sequence 1, 1 of 2 parts left" in call("plan", job).stdout
    status = call("status", job)
    assert status.exit_code == 0
    assert "sequence 1: 1 of 2 parts copied, up to 30" in status.stdout
    shown = call("status", job, "--run", "dead")
    assert (shown.exit_code, "interrupted · 0 rows so far" in shown.stdout) == (0, True)
    one = json.loads(call("status", job, "--run", "dead", "--json").stdout)
    assert one["status"] == "interrupted"
    found = json.loads(call("status", job, "--json").stdout)
    [pending] = [table["pending"] for table in found["tables"] if table["source"] == "growing"]
    assert (pending["parts"], pending["parts_done"], pending["run_id"]) == (2, 1, "dead")
    run = call("run", job)
    assert "took up where an earlier run stopped" in run.stdout
    assert _there("growing") == 3


@pytest.mark.usefixtures("here")
def test_status_lists_runs_and_shows_one(job: Path, state: SqliteStateStore) -> None:
    assert "No run yet" in call("status", job).stdout
    first = json.loads(call("run", job, "--json").stdout)
    second = json.loads(call("run", job, "--json").stdout)
    listed = json.loads(call("status", job, "--json").stdout)
    assert [run["run_id"] for run in listed["runs"]] == [second["run_id"], first["run_id"]]
    assert len(json.loads(call("status", job, "--json", "--limit", "1").stdout)["runs"]) == 1
    [growing] = [table for table in listed["tables"] if table["source"] == "growing"]
    assert (growing["sequence"], growing["watermark"]) == (1, "30")
    shown = [line for line in call("status", job).stdout.splitlines() if "succeeded" in line]
    assert [first["run_id"] in line and "6 rows" in line for line in shown] == [False, True]
    assert second["run_id"] in shown[0]
    assert json.loads(call("status", job, "--run", first["run_id"], "--json").stdout) == first
    assert "2 copied" in call("status", job, "--run", first["run_id"]).stdout
    assert call("status", job, "--run", "never").exit_code == 2
    held = _hold(state)
    assert str(held) in call("status", job).stdout


@pytest.mark.usefixtures("here")
def test_status_tells_how_many_files_a_run_copied_as_they_are(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        file = tmp_path / "in" / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    ends = {
        name: {"type": "local", "root": str(tmp_path / name), "format": "binary"}
        for name in ("in", "out")
    }
    once = {"source": "folder", "mode": "incremental"}
    told = {"name": "files", "source": "in", "destination": "out", "connections": ends}
    job = _write(tmp_path, {**told, "tables": [once]})
    for _ in range(2):
        assert call("run", job).exit_code == 0
    runs = json.loads(call("status", job, "--json").stdout)["runs"]
    assert [(run["rows_written"], run["files_written"]) for run in runs] == [(0, 0), (0, 3)]
    shown = [line for line in call("status", job).stdout.splitlines() if "succeeded" in line]
    assert ["3 files" in line for line in shown] == [False, True]


@pytest.mark.usefixtures("here")
def test_reset_forgets_the_watermark_and_keeps_the_sequence(
    job: Path, state: SqliteStateStore
) -> None:
    call("run", job)
    result = call("reset", job, "--table", "growing", "--yes")
    assert result.exit_code == 0
    known, _ = tables.load(state, "trial", "growing")
    assert (known.sequence, known.watermark, known.loaded, known.truncate) == (
        1,
        None,
        False,
        False,
    )
    assert tables.load(state, "trial", "whole")[0].loaded
    assert lease.holder_of(state, "trial") is None
    call("run", job)
    assert tables.load(state, "trial", "growing")[0].sequence == 2
    assert _there("growing") == 6


@pytest.mark.usefixtures("here")
def test_reset_with_truncate_replaces_all_rows_by_the_next_commit(job: Path) -> None:
    call("run", job)
    result = call("reset", job, "--all", "--truncate", "--yes")
    assert "replaces all rows" in result.stdout
    assert _there("growing") == 3
    assert call("run", job).exit_code == 0
    assert _there("growing") == 3


@pytest.mark.usefixtures("here")
def test_reset_drops_what_is_pending(job: Path, state: SqliteStateStore) -> None:
    _leave_pending(job, state)
    call("reset", job, "--all", "--yes")
    assert tables.load(state, "trial", "growing")[0].pending is None
    # A run that only sleeps may still publish them: they go with the commit that makes it too late.
    assert len(memory.store("there").staged) == 1
    assert call("run", job).exit_code == 0
    assert _there("growing") == 3
    assert state.list("trial", "part/growing/") == []
    assert memory.store("there").staged == {}


@pytest.mark.usefixtures("here")
def test_reset_asks_first_and_warns_of_doubled_rows(job: Path, state: SqliteStateStore) -> None:
    call("run", job)
    result = call("reset", job, "--table", "growing")
    assert result.exit_code == 2
    assert "would be there twice" in result.stdout
    assert "--yes" in result.stderr
    assert tables.load(state, "trial", "growing")[0].loaded


def test_reset_wants_to_know_which_tables(job: Path) -> None:
    assert call("reset", job, "--yes").exit_code == 2
    assert call("reset", job, "--yes", "--all", "--table", "whole").exit_code == 2


@pytest.mark.usefixtures("here")
def test_a_reset_fences_off_a_run_that_lost_its_lease(job: Path, state: SqliteStateStore) -> None:
    from copy_core.jobfile import load

    _leave_pending(job, state)
    before, _ = tables.load(state, "trial", "growing")
    assert before.pending is not None
    reset(state, load(job).job, ["growing"])
    after, _ = tables.load(state, "trial", "growing")
    with pytest.raises(ConflictError):
        tables.owned(after, "trial", "dead", before.pending.plan_id)


def test_schema_is_the_job_files_json_schema() -> None:
    result = call("schema")
    assert {"name", "tables", "connections"} <= set(json.loads(result.stdout)["properties"])


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_the_version(args: list[str]) -> None:
    import copy_core

    assert call(*args).stdout == f"copyjob {copy_core.__version__}\n"

"""`copyjob serve`: how it starts and stops, who may ask, and what it does each minute."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from copy_core.cli import main, serving
from copy_core.service.service import Service
from copy_core.state import history
from tests.planted import planted
from tests.web.minutes import live_through, service_of
from tests.web.served import Served

JOB = """\
name: trial
source: here
destination: there
schedules: [{cron: "* * * * *"}]
tables: [{source: t, write: overwrite}]
connections:
  here: {type: memory, name: serve-here}
  there: {type: memory, name: serve-there}
"""

STUCK = """\
name: trial
source: here
destination: there
tables: [{source: stuck}]
connections:
  here: {type: sqlite, path: stuck.db}
  there: {type: delta, root: lake}
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A folder of jobs without one."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder


def test_help_loads_no_server() -> None:
    heavy = ["fastapi", "starlette", "uvicorn", "anyio", "asyncio", "pydantic"]
    code = (
        "import sys; from copy_core.cli import main;"
        "main(sys.argv[1:], standalone_mode=False);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    for args in (["--help"], ["serve", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_a_server_prints_its_address_and_a_fresh_token_once(jobs: Path) -> None:
    with Served(jobs) as first, Served(jobs, "--state", str(jobs / "other.db")) as second:
        assert first.said[0].startswith("copyjob is at http://127.0.0.1:")
        tokens = [server.said[1].removeprefix("token: ").strip() for server in (first, second)]
        assert len(set(tokens)) == 2
        assert first.client.get("/api/runs").json() == {"runs": [], "next": None}
        assert first.client.get("/api/runs", headers={"Authorization": ""}).status_code == 401
        assert first.client.get("/api/health", headers={"Authorization": ""}).status_code == 200
        assert tokens[0] not in first.log


def test_a_token_that_was_chosen_is_not_printed(jobs: Path) -> None:
    token = planted("the-operator-has-chosen-it")
    with Served(jobs, COPYJOB_TOKEN=token) as server:
        assert token not in "".join(server.said)
        assert server.client.get("/api/runs").status_code == 200


def test_a_server_on_loopback_goes_by_no_other_name(jobs: Path) -> None:
    with Served(jobs) as server:
        answer = server.client.get("/api/runs", headers={"Host": "elsewhere.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "host-unknown")
        assert server.log == ""


def test_a_server_that_others_can_reach_says_so(jobs: Path) -> None:
    with Served(jobs, "--host", "0.0.0.0") as server:
        assert "0.0.0.0 can be reached from other machines" in server.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_well(number: signal.Signals, jobs: Path) -> None:
    with Served(jobs) as server:
        assert server.client.get("/api/health").status_code == 200
        assert server.stop(number) == 0
        assert (jobs / ".copyjob/state.db").exists()


def test_a_second_signal_kills(jobs: Path) -> None:
    # A run waits for its source for ever: no row of the view ever comes.
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
    with closing(sqlite3.connect(jobs / "stuck.db")) as db:
        db.execute(f"CREATE VIEW stuck AS {endless} SELECT id FROM n WHERE id < 0")
    (jobs / "trial.yaml").write_text(STUCK, "utf-8")
    with Served(jobs) as server:
        server.start("trial")
        server.process.send_signal(signal.SIGINT)
        while "stopping" not in server.log:
            time.sleep(0.05)
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert server.process.returncode == -signal.SIGINT


def test_settings_come_from_the_environment_too(jobs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    state = tmp_path / "there.db"
    with Served(jobs, COPYJOB_STATE=str(state), COPYJOB_JOBS=str(tmp_path / "elsewhere")):
        assert state.exists()
    assert not (jobs / ".copyjob").exists()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "environment", "says"),
    [
        (["--port", "TAKEN"], {}, "is taken"),
        (["--host", "203.0.113.1"], {}, "cannot be listened on"),
        (["--host", "no.such.host.invalid"], {}, "cannot be listened on"),
        (["--jobs", "missing"], {}, "there is no such folder"),
        (["--jobs", "ftp://jobs"], {"COPYJOB_STATE": "s.db"}, "address is not understood"),
        (["--jobs", "https://a.blob.core.windows.net/jobs"], {}, "(--state) is missing"),
        (["--state", "ftp://state"], {}, "address is not understood"),
        ([], {"COPYJOB_TOKEN": "short"}, "token is shorter"),
        ([], {"COPYJOB_KEEP_DAYS": "x"}, "COPYJOB_KEEP_DAYS"),
    ],
)
def test_what_keeps_a_server_from_starting_is_told(
    options: list[str],
    environment: dict[str, str],
    says: str,
    taken: int,
    jobs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(jobs)
    given = [option.replace("TAKEN", str(taken)) for option in options]
    done = CliRunner().invoke(main, ["serve", *given], env=environment)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert not (jobs / "missing").exists()


@pytest.fixture
def service(jobs: Path) -> Iterator[Service]:
    (jobs / "trial.yaml").write_text(JOB, "utf-8")
    with service_of(jobs) as service:
        yield service


def test_a_minute_that_fails_is_logged_and_does_not_end_the_clock(
    service: Service, jobs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("copyjob"), "propagate", True)
    begin = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    aside = jobs.parent / "aside"

    async def minutes() -> AsyncIterator[datetime]:
        yield begin
        shutil.move(jobs, aside)
        yield begin + timedelta(minutes=1)
        shutil.move(aside, jobs)
        yield begin + timedelta(minutes=2)

    live_through(service, minutes)
    runs = history.runs(service.store, "trial").runs
    assert {run.trigger for run in runs} == {"schedule"}
    assert len(runs) == 2
    assert "what is due could not be started" in caplog.text
    assert "there is no such folder" in caplog.text


def test_the_clock_tells_each_minute_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sleeps end a moment too early or late; then the clock is set back, and goes on from there.
    moments = iter((0.0, 0.5, 59.999, 60.0, 121.0, 100.0, 130.0))
    clock = SimpleNamespace(at=next(moments))
    start = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:  # type: ignore[override]  # always UTC
            return start + timedelta(seconds=clock.at)

    async def sleep(_seconds: float) -> None:
        clock.at = next(moments)

    monkeypatch.setattr(serving, "datetime", Clock)
    monkeypatch.setattr(serving, "asyncio", SimpleNamespace(sleep=sleep))

    async def told() -> list[float]:
        minutes = serving._minutes()
        return [((await anext(minutes)) - start).total_seconds() for _ in range(5)]

    assert asyncio.run(told()) == [0.0, 60.0, 121.0, 100.0, 130.0]


def test_a_clock_that_is_set_back_while_something_is_done_keeps_nothing_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC))
    slept: list[float] = []

    class Clock(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:  # type: ignore[override]  # always UTC
            found: datetime = clock.now
            return found

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += timedelta(seconds=seconds)

    monkeypatch.setattr(serving, "datetime", Clock)
    monkeypatch.setattr(serving, "asyncio", SimpleNamespace(sleep=sleep))

    async def live() -> None:
        minutes = serving._minutes()
        await anext(minutes)
        clock.now -= timedelta(hours=1)
        await anext(minutes)

    asyncio.run(live())
    assert slept == [60.0]

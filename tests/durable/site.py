"""The app under the test host: started, asked, killed and stopped, with its jobs and source."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests import servers
from tests.leaks import heard
from tests.planted import planted

ROOT = Path(__file__).resolve().parents[2]
KEY = planted("function-key")
PATIENCE_S = 100.0


class Answer(NamedTuple):
    """What the app answered: the HTTP status, and the JSON of the body if it is some."""

    status: int
    body: Any


class Site:
    """One deployment of the app.

    Its jobs are files in a folder, its source is a SQLite file and its destination a lake in
    Azurite, where its state is as well.

    Args:
        folder: an empty folder for what it keeps.
        azurite: the storage.
        *flags: of the host, as its `__main__` lists them.
        app: the folder of the app.
        environment: settings of the app besides, or instead of, those it has here.
    """

    def __init__(
        self,
        folder: Path,
        azurite: servers.Azurite,
        *flags: str,
        app: Path = ROOT,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self._app, self._flags = folder, app, flags
        self.jobs, self.source = folder / "jobs", folder / "source.db"
        self.jobs.mkdir()
        self._process: subprocess.Popen[str] | None = None
        self._origin = ""
        self._environment = {
            "HOST_KEY": KEY,
            "COPYJOB_JOBS": str(self.jobs),
            "COPYJOB_STATE": "tables:${env:COPYJOB_STORAGE}",
            "COPYJOB_STORAGE": azurite.connection_string,
            azurite.BLOB_URL_VARIABLE: azurite.blob_origin,
            **(environment or {}),
        }

    def start(self) -> None:
        """Starts the host, on a database that an earlier one may have left."""
        with (self.folder / "host.log").open("a") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.durable.host", str(self._app)),
                    *("--db", str(self.folder / "host.db"), "--port", "0", *self._flags),
                ],
                cwd=ROOT,
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=servers.die_with_parent,  # noqa: PLW1509 - it takes no lock
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            self._end(signal.SIGKILL)
            raise AssertionError(f"the host did not start: {self.log()[-3000:]}")
        self._origin = f"http://127.0.0.1:{json.loads(said)['port']}"

    def kill(self) -> None:
        """Kills the host, as a machine that is switched off."""
        self._end(signal.SIGKILL)

    def restart(self, *flags: str) -> None:
        """Kills the host, and starts it again with other flags."""
        self.kill()
        self._flags = flags
        self.start()

    def stop(self) -> None:
        """Stops the host, and fails when something happened that must not."""
        if self._process is None:
            return
        try:
            complaints = self.report()["complaints"]
        finally:
            self._end(signal.SIGKILL)
        assert complaints == [], complaints

    def log(self) -> str:
        """What the host has logged so far."""
        return (self.folder / "host.log").read_text()

    # Asking

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Sends a request with the function key; a body is sent as JSON.

        Args:
            method: the HTTP method.
            path: from the slash after the host.
            body: what becomes the JSON; None for no body.
            **headers: headers to add, `_` for `-`; an empty one is left out.
        """
        named = {"x-functions-key": KEY} | {k.replace("_", "-"): v for k, v in headers.items()}
        sent = {k: v for k, v in named.items() if v}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["content-type"] = "application/json"
        request = urllib.request.Request(
            self._origin + path, data, {str(k): v for k, v in sent.items()}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, _parsed(answer.read(), path))
        except urllib.error.HTTPError as e:
            with e:
                return Answer(e.code, _parsed(e.read(), path))

    def run(self, job: str, **wanted: Any) -> str:
        """Starts a run by the API; returns its id."""
        answer = self.ask("POST", f"/api/jobs/{job}/runs", wanted)
        assert answer.status == 202, answer
        run_id: str = answer.body["run_id"]
        return run_id

    def ended(self, run_id: str, patience: float = PATIENCE_S) -> Any:
        """Waits for a run to end, so many seconds; returns it as the API shows it."""
        last: Answer | None = None

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.ask("GET", f"/api/runs/{run_id}")
            shown: dict[str, Any] = last.body
            under_way = last.status == 200 and shown["status"] == "running"
            return None if last.status != 200 or under_way else shown

        return until(
            look,
            lambda: f"{run_id} has not ended: {str(last)[-2000:]}\n{self.log()[-2000:]}",
            patience,
        )

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/api/runs?job={job}&limit=100").body["runs"]
        return found

    def fire(self, timer: str) -> None:
        """Has a timer function run now."""
        assert self.ask("POST", f"/admin/functions/{timer}", {"input": ""}).status == 202

    def report(self) -> dict[str, Any]:
        """What the host has seen, see `Host._report`."""
        report: dict[str, Any] = self.ask("GET", "/admin/host/report").body
        return report

    def history(self, instance: str) -> list[dict[str, Any]]:
        """The events of an orchestration."""
        path = f"/durabletask/instances/{instance}?showHistory=true"
        events: list[dict[str, Any]] = self.ask("GET", path).body["historyEvents"]
        return events

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def until(
    look: Callable[[], Any],
    problem: Callable[[], str] = lambda: "nothing came",
    patience: float = PATIENCE_S,
) -> Any:
    """Looks again and again until there is something.

    Args:
        look: returns what is looked for, or something false.
        problem: what to say when nothing comes.
        patience: seconds until then.
    """
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, problem()
        time.sleep(0.1)
    return found


def unique(name: str) -> str:
    """A name that no other test has: all share the storage."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def _parsed(body: bytes, path: str) -> Any:
    heard(body, f"an answer of {path}")
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")

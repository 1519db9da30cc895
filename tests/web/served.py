"""`copyjob serve` as a process, asked over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx2

from tests import leaks, servers


class Served:
    """A server on a port of its own.

    Args:
        jobs: the folder of job files.
        options: more of the command line.
        environment: more of the environment.
    """

    def __init__(self, jobs: Path, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "copy_core.cli", "serve", "--jobs", str(jobs)]
        self._errors = (jobs.parent / "serve.log").open("w+")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("COPYJOB_")}
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**clean, **environment},
            preexec_fn=servers.die_with_parent,  # noqa: PLW1509 - it takes no lock
        )
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline() for _ in range(2)]
        self.address, token = (line.split()[-1] for line in self.said)
        given = environment.get("COPYJOB_TOKEN", token)
        self.client = httpx2.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {given}"},
            timeout=30,
            event_hooks={"response": [_heard]},
        )

    def start(self, job: str, **more: Any) -> str:
        """Starts a run; returns its id."""
        answer = self.client.post(f"/api/jobs/{job}/runs", json=more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """The run once it has one of these statuses; the test's own limit ends a vain wait."""
        while (run := self.run(run_id))["status"] not in statuses:
            time.sleep(0.05)
        return run

    def until_copying(self, run_id: str, rows: int) -> None:
        """Returns once more than these rows are on their way."""
        while not ((progress := self.run(run_id)["progress"]) and progress["rows"] > rows):
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal; returns the exit code."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait()

    @property
    def log(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        assert self.process.stdout is not None
        for each in (self.client, self.process.stdout, self._errors):
            each.close()


def _heard(answer: httpx2.Response) -> None:
    answer.read()
    leaks.heard(answer.content, f"an answer of {answer.url.path}")

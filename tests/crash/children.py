"""The zygote as the harness sees it: ask for children, hear what became of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from copy_core.model import RunSummary
from tests.crash.child import Spec

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """What became of a child.

    Attributes:
        how: `done`, `killed` or `stopped`.
        at: the point at which it was killed or stopped; "" when it ended by itself.
        answer: what it said; {} when it died before it could.
        pid: the process, while it is stopped.
    """

    how: str
    at: str
    answer: dict[str, Any]
    pid: int

    @property
    def summary(self) -> RunSummary | None:
        """The run's summary, if it lived to tell."""
        found = self.answer.get("summary")
        return RunSummary.model_validate(found) if found else None


class Children:
    """Children of one zygote, which ends with the block.

    Args:
        needed: modules that the children need beyond those of the systems that need no server.
    """

    def __init__(self, *needed: str) -> None:
        self._needed = needed

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        # A thread of a numeric library would not survive the fork, but its locks would.
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote", *self._needed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zygote.communicate()

    def start(self, *specs: Spec) -> list[Ended]:
        """Runs children at the same time, until each has ended or stopped."""
        return self._ask({"start": specs})

    def resume(self, pid: int) -> Ended:
        """Lets a stopped child go on, until it has ended or stopped again."""
        return self._ask({"resume": pid})[0]

    def _ask(self, request: dict[str, Any]) -> list[Ended]:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        try:
            print(json.dumps(request), file=self._zygote.stdin, flush=True)
            line = self._zygote.stdout.readline()
        except BaseException:
            # Out of time, or Ctrl-C: its answer would be taken for that of the next request.
            self._zygote.kill()
            self._zygote.communicate()
            self._start()
            raise
        if not line:
            raise AssertionError("the zygote is gone; see its errors above")
        return [_ended(answer) for answer in json.loads(line)]


def _ended(answer: dict[str, Any]) -> Ended:
    how, pid = answer.pop("end"), answer.pop("pid", 0)
    if how == "done" and "raised" in answer:
        raise AssertionError(f"a child failed:\n{answer['raised']}")
    return Ended(how, answer.get("at", ""), answer, pid)

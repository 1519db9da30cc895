"""A job between two real systems, whose runs are child processes that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from copy_core.model import RunSummary
from tests.crash import child, places
from tests.crash.children import Children, Ended
from tests.crash.look import Look, look_of

Happening = tuple[int, Callable[[], None]]
"""The number of a point, and what happens there."""


class Run(NamedTuple):
    """What became of a run.

    Attributes:
        summary: its summary; None when it was killed.
        at: the point at which it was killed.
        points: how many points it reached, if it lived to tell.
        events: how many of Python's audit events it caused, likewise.
    """

    summary: RunSummary | None
    at: str = ""
    points: int = 0
    events: int = 0


class House:
    """The job, its source, its destination and its state, in a folder.

    Args:
        folder: an empty folder, or one that another house has left.
        children: where its runs live.
        pair: the kinds of its source and its destination, as `places` has them.
        settings: of the table, as in a job file.

    Attributes:
        among: a pattern; the points that count are those whose names it is found in.
    """

    among = ""

    def __init__(
        self, folder: Path, children: Children, pair: tuple[str, str], settings: dict[str, Any]
    ) -> None:
        self._children = children
        self._state = str(folder / "state.db")
        self.source = places.source(pair[0], folder)
        target = places.destination(pair[1], folder)
        self._connections = {
            "from": self.source.options.model_dump(mode="json"),
            "to": target.model_dump(mode="json"),
        }
        self.settings = settings
        self.batch_rows = 2

    def close(self) -> None:
        """Nothing to do: whoever made the folder removes it."""

    def run(
        self,
        kill: int = 0,
        happenings: Sequence[Happening] = (),
        *,
        event: int = 0,
        after: float | None = None,
    ) -> Run:
        """Runs the job, which may be killed.

        Args:
            kill: the number of the point to die at; 0 for none.
            happenings: what else happens, and at which points; the run stands still meanwhile.
            event: the number of the audit event to die at; 0 for none.
            after: seconds after which its parent kills it.
        """
        spec = self._run_spec(kill, event, [at for at, _ in happenings if at != kill])
        spec |= {} if after is None else {"after": after}
        ended, waiting = self._children.start(spec)[0], dict(happenings)
        while ended.how == "stopped":
            for number in ended.answer["due"]:
                waiting.pop(number)()
            ended = self._children.resume(ended.pid)
        return _run(ended)

    def race(self, number: int) -> list[Run]:
        """Starts so many runs at the same time."""
        return [_run(ended) for ended in self._children.start(*[self._run_spec()] * number)]

    def look(self) -> Look:
        """Looks at what is there."""
        return look_of(self._children.start(self._spec("look"))[0].answer)

    def reset(self, *, truncate: bool) -> None:
        """Resets the job, as the command does."""
        self._children.start(self._spec("reset", truncate=truncate))

    def expire(self) -> None:
        """Lets the time of the job's lease pass."""
        self._children.start(self._spec("expire"))

    def lose_state(self) -> None:
        """Loses the state file."""
        child.lose_state(self._state)

    def _run_spec(self, kill: int = 0, event: int = 0, stops: Sequence[int] = ()) -> child.Spec:
        return self._spec("run", among=self.among, kill=kill, event=event, stops=stops)

    def _spec(self, act: str, **more: Any) -> child.Spec:
        job = child.job_of(self.settings, self.batch_rows)
        shared = {"connections": self._connections, "state": self._state}
        return {"act": act, "job": job, **shared, **more}


def _run(ended: Ended) -> Run:
    answer, summary = ended.answer, ended.answer.get("summary")
    return Run(
        summary and RunSummary.model_validate(summary),
        ended.at or ended.how,
        answer.get("points", 0),
        answer.get("events", 0),
    )

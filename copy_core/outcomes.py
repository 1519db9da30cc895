"""Turns what a step does into an `Outcome`: nothing else may cross the control flow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, TypeVar

from copy_core import telemetry
from copy_core.errors import CopyJobError
from copy_core.failures import classify
from copy_core.logs import error_attributes, log, within
from copy_core.model import JsonDict, Outcome

if TYPE_CHECKING:
    from copy_core.table_steps import TableSteps

S = TypeVar("S", bound="TableSteps")


def as_outcome(work: Callable[[S, JsonDict], JsonDict]) -> Callable[[S, JsonDict], Outcome]:
    """Makes a step of a method: errors become outcomes that say where they happened."""
    name = work.__name__

    @wraps(work)
    def step(self: S, arg: JsonDict) -> Outcome:
        job, table = self.context.job.name, arg.get("table", "")
        run_id = arg.get("run_id") or arg.get("run", {}).get("run_id")
        with within(job=job, run_id=run_id, table=table, step=name, part=arg.get("part")):
            outcome = partial(outcome_of, lambda: work(self, arg), job=job, table=table)
            return telemetry.step(name, outcome)

    return step


def outcome_of(work: Callable[[], JsonDict], **where: str) -> Outcome:
    """Does some work and tells what came of it.

    Args:
        work: what to do; its result is the outcome's value.
        **where: the place, by kind, for the error and the log.
    """
    started = time.time()
    try:
        with within(**where):
            value = work()
    except Exception as e:  # noqa: BLE001 - it goes on as an outcome
        error = classify(e).at(**where)
        said = error.to_json()
        level = logging.DEBUG if isinstance(e, CopyJobError) else logging.ERROR
        log.log(level, "%s", error, exc_info=e, extra=error_attributes(said))
        return Outcome(
            status=error.recovery,
            error=said,
            retry_after=getattr(error, "retry_after", None),
            started=started,
            ended=time.time(),
        )
    return Outcome(status="done", value=value, started=started, ended=time.time())

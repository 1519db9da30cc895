"""Turns what a step does into an `Outcome`: nothing else may cross the control flow."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

from copy_core.errors import CopyJobError
from copy_core.failures import classify
from copy_core.model import JsonDict, Outcome
from copy_core.secrets import scrub

if TYPE_CHECKING:
    from copy_core.steps import Steps

log = logging.getLogger("copyjob")
S = TypeVar("S", bound="Steps")


def as_outcome(work: Callable[[S, JsonDict], JsonDict]) -> Callable[[S, JsonDict], Outcome]:
    """Makes a step of a method: errors become outcomes that say where they happened."""

    @wraps(work)
    def step(self: S, arg: JsonDict) -> Outcome:
        return outcome_of(
            lambda: work(self, arg), job=self.context.job.name, table=arg.get("table", "")
        )

    return step


def outcome_of(work: Callable[[], JsonDict], **where: str) -> Outcome:
    """Does some work and tells what came of it.

    Args:
        work: what to do; its result is the outcome's value.
        **where: the place, by kind, for the error.
    """
    started = time.time()
    try:
        value = work()
    except Exception as e:  # noqa: BLE001 - it goes on as an outcome
        error = classify(e).at(**where)
        level = logging.DEBUG if isinstance(e, CopyJobError) else logging.ERROR
        # A traceback repeats what libraries say, and they may repeat what they were given.
        log.log(level, "%s\n%s", error, scrub("".join(traceback.format_exception(e))))
        return Outcome(
            status=error.recovery,
            error=error.to_json(),
            retry_after=getattr(error, "retry_after", None),
            started=started,
            ended=time.time(),
        )
    return Outcome(status="done", value=value, started=started, ended=time.time())

"""The steps of a run, around those of its tables: the job is claimed, tables are planned and
recorded, and the job is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from copy_core import telemetry
from copy_core.context import Ends
from copy_core.errors import Cancelled, ConfigError, ConflictError, CopyJobError, TerminalError
from copy_core.model import JsonDict, Outcome, RunRequest, TableResult
from copy_core.outcomes import as_outcome, outcome_of
from copy_core.reset import check_alone
from copy_core.selection import digest, selected
from copy_core.state import history, lease
from copy_core.table_steps import TableSteps
from copy_core.tally import Tally, lost, summarise

if TYPE_CHECKING:
    from copy_core.state.base import StateStore

log = logging.getLogger("copyjob")


class Steps(TableSteps):
    """All steps of one run; `flow` names them."""

    @as_outcome
    def begin(self, arg: JsonDict) -> JsonDict:
        """Claims the job for the run, and lists the run. Value: `count` of the tables to copy, a
        `digest` of their names, and the job's `limits`.
        """
        context, job = self.context, self.context.job
        wanted = selected(job, arg["tables"] or [])
        if arg["full"]:
            check_alone(job, wanted)
        for name in (job.source, job.destination):
            context.connection(name)
        request = RunRequest.model_validate({n: arg[n] for n in RunRequest.model_fields})
        # Before the lease: delivered again when the run has ended, it must not take the job.
        history.refuse_ended(context.store, request)
        owner = lease.Owner(run_id=arg["run_id"], holder=context.holder, process=context.process)
        lease.claim(context.store, job.name, context.lease_s, owner)
        try:
            history.begin(context.store, request, len(wanted), datetime.now(UTC))
        except ConflictError:
            lease.release(context.store, job.name, arg["run_id"])
            raise
        telemetry.began(request.trigger, len(wanted))
        return {
            "count": len(wanted),
            "digest": digest(wanted),
            "limits": job.limits.model_dump(mode="json"),
        }

    @as_outcome
    def plan_tables(self, arg: JsonDict) -> JsonDict:
        """Plans `count` of the run's tables, from number `first`; those with nothing to copy are
        recorded, and cost no step more. Value: the tables to `copy`, and how many have `failed`.
        """
        context = self.context
        run_id, last = arg["run_id"], arg["first"] + arg["count"]
        some = self._numbered(run_id, arg["digest"])[arg["first"] : last]
        cancelled: Cancelled | None = None
        try:
            self._hold(run_id)
        except Cancelled as e:
            cancelled = e
        to_copy: list[JsonDict] = []
        ended: dict[int, TableResult] = {}
        with Ends(context) as ends:
            for number, table in some:
                at = {"run_id": run_id, "table": table, "full": arg["full"]}
                plan = partial(_stop, cancelled) if cancelled else partial(self._plan, at, ends)
                outcome = outcome_of(plan, job=context.job.name, table=table)
                if outcome.status == "transient":
                    to_copy.append({"number": number, "table": table})
                elif outcome.status == "done" and not outcome.value["unchanged"]:
                    to_copy.append({"number": number, "table": table, "plan": outcome.to_json()})
                else:
                    ended[number] = Tally.after(table, outcome)
        # Delivered again, it must not hide what became of a table since.
        known = history.tables(context.store, run_id, arg["first"], arg["count"])
        copied = {number for number, result in known.items() if result.status == "copied"}
        self._record(run_id, {n: result for n, result in ended.items() if n not in copied})
        return {"copy": to_copy, "failed": sum(r.status == "failed" for r in ended.values())}

    def _numbered(self, run_id: str, known: str) -> list[tuple[int, str]]:
        """The run's tables, each with its number; `known` is their digest when it began."""
        asked = history.asked(self.context.store, run_id)
        wanted = selected(self.context.job, (asked and asked.request.tables) or [])
        if digest(wanted) != known:
            raise ConfigError(
                "the job's tables were changed while it runs",
                fix="Run it again: the next run copies the tables as they are now",
                code="job-changed",
            )
        return list(enumerate(wanted))

    @as_outcome
    def record(self, arg: JsonDict) -> JsonDict:
        """Records what became of a table."""
        self._record(arg["run_id"], {arg["number"]: TableResult.model_validate(arg["result"])})
        return {}

    def _record(self, run_id: str, ended: Mapping[int, TableResult]) -> None:
        if ended:
            history.record_tables(self.context.store, run_id, ended)
        for number, result in ended.items():
            telemetry.ended(self.context.job.name, result)
            self.context.ended(number, result)

    @as_outcome
    def finish(self, arg: JsonDict) -> JsonDict:
        """Writes the run's record and gives the job back. Value: the run's summary, without its
        tables.
        """
        with suppress(CopyJobError):  # they stay nameless, and the run fails for them all the same
            self._record(arg["run"]["run_id"], self._never_recorded(arg))
        return end_run(self.context.store, arg)

    def _never_recorded(self, arg: JsonDict) -> dict[int, TableResult]:
        """Results for tables that nobody could tell of."""
        run_id = arg["run"]["run_id"]
        missing = range(arg["count"]) - history.tables(self.context.store, run_id).keys()
        names = dict(self._numbered(run_id, arg["digest"])) if missing else {}
        return {number: lost(names[number], _why(arg)) for number in missing}


def _stop(cancelled: Cancelled) -> JsonDict:
    raise copy(cancelled)  # each table adds its own place


def end_run(store: StateStore, arg: JsonDict) -> JsonDict:
    """Writes a run's record and gives its job back; the job itself need not be there any more.

    Args:
        store: the state store.
        arg: as `Steps.finish` takes it.

    Returns:
        The run's summary, without its tables.
    """
    run, begun = arg["run"], Outcome.model_validate(arg["begun"])
    known = history.tables(store, run["run_id"])
    summary = summarise(run, begun, [known[number] for number in sorted(known)])
    if len(known) < arg["count"]:
        # It must not look whole.
        summary = summary.model_copy(update={"status": "failed", "error": _why(arg)})
    summary = history.end(store, summary)
    try:
        lease.release(store, run["job"], run["run_id"])
    except ConflictError as e:
        log.info("the job is another run's by now: %s", e)
    telemetry.finished(summary)
    return summary.model_copy(update={"tables": ()}).to_json()


def _why(arg: JsonDict) -> JsonDict:
    """Why tables of a run were not recorded."""
    unknown = TerminalError(
        "what became of some tables could not be recorded",
        fix="Run the job again: it takes up what is left",
        code="not-recorded",
        job=arg["run"]["job"],
    )
    return arg["lost"] or unknown.to_json()

"""The steps of a run, around those of its tables: the job is claimed, tables are planned and
recorded, and the job is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from copy_core import telemetry
from copy_core.context import Ends
from copy_core.errors import ConfigError, ConflictError, TerminalError
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
        owner = lease.Owner(run_id=arg["run_id"], holder=context.holder, process=context.process)
        lease.claim(context.store, job.name, context.lease_s, owner)
        request = RunRequest.model_validate({n: arg[n] for n in RunRequest.model_fields})
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
        some = self._numbered(arg)[arg["first"] : arg["first"] + arg["count"]]
        held = outcome_of(lambda: self._hold(arg["run_id"]), job=context.job.name)
        copy: list[JsonDict] = []
        ended: dict[int, TableResult] = {}
        with Ends(context) as ends:
            for number, table in some:
                at = {"run_id": arg["run_id"], "table": table, "full": arg["full"]}
                outcome = held
                if held.status == "done":
                    plan = partial(self._plan, at, ends)
                    outcome = outcome_of(plan, job=context.job.name, table=table)
                if outcome.status == "transient":
                    copy.append({"number": number, "table": table})
                elif outcome.status == "done" and not outcome.value["unchanged"]:
                    copy.append({"number": number, "table": table, "plan": outcome.to_json()})
                else:
                    ended[number] = Tally.after(table, outcome)
        self._record(arg["run_id"], ended)
        return {"copy": copy, "failed": sum(r.status == "failed" for r in ended.values())}

    def _numbered(self, arg: JsonDict) -> list[tuple[int, str]]:
        """The run's tables, each with its number."""
        wanted = selected(self.context.job, arg["tables"] or [])
        if digest(wanted) != arg["digest"]:
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
        history.record_tables(self.context.store, run_id, ended)
        for number, result in ended.items():
            telemetry.ended(self.context.job.name, result)
            self.context.ended(number, result)

    @as_outcome
    def finish(self, arg: JsonDict) -> JsonDict:
        """Writes the run's record and gives the job back. Value: the run's summary, without its
        tables.
        """
        context, run, begun = self.context, arg["run"], Outcome.model_validate(arg["begun"])
        known = history.tables(context.store, run["run_id"])
        if begun.status == "done":
            known |= self._never_recorded(run, known, arg.get("lost"))
        results = [known[number] for number in sorted(known)]
        summary = summarise(run, begun, results)
        summary = history.end(context.store, summary)
        try:
            lease.release(context.store, context.job.name, summary.run_id)
        except ConflictError as e:
            log.warning("the lease was lost before the run ended: %s", e)
        telemetry.finished(summary)
        return summary.model_copy(update={"tables": ()}).to_json()

    def _never_recorded(
        self, run: JsonDict, known: Mapping[int, TableResult], error: JsonDict | None
    ) -> dict[int, TableResult]:
        """Results for tables that nobody could tell of: the run must not look whole."""
        wanted = selected(self.context.job, run["tables"] or [])
        why = (
            error
            or TerminalError(
                "what became of this table could not be recorded",
                fix="Run the job again: it takes up what is left",
                code="not-recorded",
                job=self.context.job.name,
            ).to_json()
        )
        missing = {
            number: lost(table, why) for number, table in enumerate(wanted) if number not in known
        }
        self._record(run["run_id"], missing)
        return missing


def end_without_job(store: StateStore, arg: JsonDict) -> None:
    """Writes the record of a run whose job cannot be read any more, and gives the job back.

    Args:
        store: the state store.
        arg: as `Steps.finish` takes it.
    """
    run, begun = arg["run"], Outcome.model_validate(arg["begun"])
    known = history.tables(store, run["run_id"])
    summary = summarise(run, begun, [known[number] for number in sorted(known)])
    if begun.status == "done":
        error = arg.get("lost") or _unreadable(run["job"]).to_json()
        summary = summary.model_copy(update={"status": "failed", "error": error})
    telemetry.finished(history.end(store, summary))
    with suppress(ConflictError):
        lease.release(store, run["job"], run["run_id"])


def _unreadable(job: str) -> ConfigError:
    return ConfigError(
        "the job's definition could not be read when the run ended",
        fix="Mend it and run the job again: it takes up what is left",
        code="job-unreadable",
        job=job,
    )

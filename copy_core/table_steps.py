"""The steps of a table. Each does one thing, may be run again, and returns an `Outcome`.

The order is the guarantee. A plan is written before a row is read; every part is staged out of
sight and recorded; publishing makes all parts visible and writes the destination's ledger in one
atomic step; only then does the watermark move, by compare-and-set, to where the ledger says. A
death between any two of them is repaired by the next run: what is planned is taken up again, what
is staged is not read twice, what is published is not published twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from copy_core import plan as planning
from copy_core import telemetry
from copy_core.connectors import registry
from copy_core.context import Context, Ends, Progress
from copy_core.errors import ConflictError, CopyJobError, TerminalError, TransientError
from copy_core.failures import classify
from copy_core.flow import spans
from copy_core.job import TableCopy
from copy_core.model import (
    Commit,
    JsonDict,
    Published,
    Slice,
    Target,
)
from copy_core.outcomes import as_outcome
from copy_core.reset import forgotten
from copy_core.schema import schema_to_json
from copy_core.state import lease, tables
from copy_core.survey import survey
from copy_core.transfer import transfer

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.connectors.base import Destination
    from copy_core.plan import Plan
    from copy_core.state.tables import Pending, TableState

log = logging.getLogger("copyjob")


class TableSteps:
    """The steps that copy one table in a run; `flow` names them."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @as_outcome
    def plan(self, arg: JsonDict) -> JsonDict:
        """Fixes the window and its parts, or takes up the pending ones. Value: whether the table
        is `unchanged`, else `plan_id`, `missing` parts, bounds, and whether to `go_on` after.
        """
        self._hold(arg["run_id"])
        with Ends(self.context) as ends:
            return self._plan(arg, ends)

    def _plan(self, arg: JsonDict, ends: Ends) -> JsonDict:
        context, run_id = self.context, arg["run_id"]
        job, table = context.job, context.table(arg["table"])
        context.check()
        state, etag = tables.load(context.store, job.name, table.source)
        if planning.appended_whole(table, state, run_id):
            return {"unchanged": True, "destination": table.destination}
        if arg["full"] and state.owner != run_id:
            state = forgotten(state, run_id, truncate=True)
        if state.leftover is not None:
            state, etag = self._clean(state, state.leftover, etag, ends.destination)
        found = survey(job, table, state, ends.source, ends.destination)
        if found.plan and (wait := planning.unsettled(table, found.plan, _now())):
            # Looked at anew, since a description may show the table as it was then.
            time.sleep(wait)
            upto = found.plan.window.high
            found = survey(job, table, state, ends.source, ends.destination, upto)
        if found.resume is not None:
            resumed = found.resume.run_id != run_id
            taken = found.state.model_copy(update={"owner": run_id})
            if taken != state:  # Two deliveries of this step would only refuse each other's save.
                tables.save(context.store, job.name, taken, etag)
            return self._planned(table, found.resume, found.published, resumed=resumed)
        if (plan := found.plan) is None:
            if found.state != state:
                tables.save(context.store, job.name, found.state, etag)
            telemetry.up_to_date(job.name, table.source, found.state.watermark)
            return {"unchanged": True, "destination": table.destination}
        stage = ends.destination.prepare(plan.target)
        slices = ends.source.split(plan.info, plan.whole, plan.parts)
        pending = self._write_plan(run_id, table, plan, slices, stage)
        state = found.state.model_copy(update={"owner": run_id, "pending": pending})
        tables.save(context.store, job.name, state, etag)
        expected = (plan.info.rows or 0) if pending.load_type == "full" else 0
        self._tell(table.source, "planned", expected, objects=pending.target.objects)
        return self._planned(table, pending, None, resumed=False)

    def _write_plan(
        self, run_id: str, table: TableCopy, plan: Plan, slices: list[Slice], stage: pa.Schema
    ) -> Pending:
        plan_id = tables.new_plan_id(plan.target.sequence)
        store, job = self.context.store, self.context.job.name
        tables.write_parts(store, job, table.source, plan_id, slices)
        return tables.Pending(
            plan_id=plan_id,
            run_id=run_id,
            table=table,
            columns=plan.columns,
            keys=plan.keys,
            target=plan.target,
            stage_columns=tuple((n, k, null) for n, k, null in schema_to_json(stage)),
            window=plan.window,
            load_type=plan.load_type,
            parts=len(slices),
            planned_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            nulls=plan.nulls,
            hidden=plan.info.hides(plan.window.column),
        )

    def _planned(
        self, table: TableCopy, pending: Pending, published: Published | None, *, resumed: bool
    ) -> JsonDict:
        parts = tables.parts(
            self.context.store, self.context.job.name, table.source, pending.plan_id
        )
        window = pending.window
        return {
            "unchanged": False,
            "destination": pending.target.object,
            "plan_id": pending.plan_id,
            "missing": spans([part.number for part in parts if part.staged is None]),
            "parts": pending.parts,
            "load_type": pending.load_type,
            "lower_bound": window.low.value if window.low else None,
            "upper_bound": window.high.value if window.high else None,
            "rows_skipped_null": pending.nulls,
            "rejected": _rejected(parts),
            "objects": pending.target.objects,
            "published": published.to_json() if published else None,
            "resumed": resumed,
            # What was left over is finished first; then comes what is new.
            "go_on": resumed and not planning.appends_whole(table),
        }

    @as_outcome
    def copy_part(self, arg: JsonDict) -> JsonDict:
        """Stages one part and records it. Value: rows, bytes and files read."""
        context, number = self.context, arg["part"]
        job, store, table, plan_id = context.job, context.store, arg["table"], arg["plan_id"]
        context.check()
        self._hold(arg["run_id"])
        state, _ = tables.load(store, job.name, table)
        pending = tables.owned(state, job.name, arg["run_id"], plan_id)
        part, etag = tables.part(store, job.name, table, plan_id, number)
        if part.staged is None:
            # What failed in a fresh plan may have been mended by the time of the next run; what
            # fails in a plan that was already taken up again is planned anew.
            with self._dooming(state, always=pending.run_id != arg["run_id"]):
                part = transfer(context, pending, part)
            telemetry.copied(job.name, table, part)
            try:
                tables.save_part(store, job.name, table, plan_id, part, etag=etag)
            except ConflictError:
                self._clean_late(pending.target)
                part, _ = tables.part(store, job.name, table, plan_id, number)
                if part.staged is None:
                    raise
        self._tell(table, "part")
        return part.model_dump(include={"rows_read", "bytes_read", "files_read"})

    @as_outcome
    def publish(self, arg: JsonDict) -> JsonDict:
        """Makes all parts visible at once. Value: the ledger's record, as `published`, and how
        many rows were `rejected`.
        """
        context, job, table = self.context, self.context.job, arg["table"]
        context.check()
        self._hold(arg["run_id"])
        state, _ = tables.load(context.store, job.name, table)
        pending = tables.owned(state, job.name, arg["run_id"], arg["plan_id"])
        parts = tables.parts(context.store, job.name, table, pending.plan_id)
        staged = tuple(part.staged for part in parts if part.staged is not None)
        if len(staged) != pending.parts:
            # Another run may have committed them, and cleared them away, at this very moment.
            state, _ = tables.load(context.store, job.name, table)
            tables.owned(state, job.name, arg["run_id"], arg["plan_id"])
        commit = Commit(
            target=pending.target,
            watermark=pending.window.watermark,
            staged=staged,
            plan_id=pending.plan_id,
            column=pending.window.column or "",
        )
        with (
            self._dooming(state, always=True),
            registry.open_destination(context.connection(job.destination)) as destination,
        ):
            if len(staged) != pending.parts:
                raise TerminalError(
                    f"only {len(staged)} of {pending.parts} parts are staged",
                    fix="Run again: the next run plans the copy anew",
                    code="parts-missing",
                )
            published = destination.publish(commit)
        _check_published(commit, published)
        self._tell(table, "published", published.rows, objects=pending.target.objects)
        return {"published": published.to_json(), "rejected": _rejected(parts)}

    @as_outcome
    def commit(self, arg: JsonDict) -> JsonDict:
        """Moves the watermark to where the ledger says, then clears away what was staged."""
        context, job, table = self.context, self.context.job, arg["table"]
        published = Published.model_validate(arg["published"])
        state, etag = tables.load(context.store, job.name, table)
        later = state.pending is None or state.pending.target.sequence > published.sequence
        if later and state.owner == arg["run_id"]:
            return {}  # delivered twice: the first delivery has committed
        pending = tables.owned(state, job.name, arg["run_id"], arg["plan_id"])
        definition = pending.table
        incremental = definition.mode == "incremental"
        state = tables.TableState(
            table=table,
            sequence=published.sequence,
            watermark=published.watermark,
            loaded=True,
            incremental_column=(definition.incremental_column or "") if incremental else "",
            hidden=pending.hidden,
            keys=pending.keys if incremental else (),
            filter=definition.filter,
            include=definition.include,
            exclude=definition.exclude,
            query=definition.query,
            destination=definition.destination,
            leftover=pending.target,
            owner=state.owner,
        )
        etag = tables.save(context.store, job.name, state, etag)
        telemetry.committed(job.name, table, published, objects=pending.target.objects)
        self._tell(table, "committed", published.rows, objects=pending.target.objects)
        try:
            with registry.open_destination(context.connection(job.destination)) as destination:
                self._clean(state, pending.target, etag, destination)
        except CopyJobError as e:
            log.warning("what was staged could not be cleared away yet: %s", e)
        return {}

    def _clean(
        self, state: TableState, target: Target, etag: str, destination: Destination
    ) -> tuple[TableState, str]:
        """Clears away what was staged up to a commit. Failing here loses nothing: the rows are
        committed, and the next run clears up again.
        """
        store, job = self.context.store, self.context.job.name
        try:
            if target.delete_source:
                from copy_core.transfer_objects import discard

                discard(self.context, destination, target)
            destination.clean(target)
            tables.forget_parts(store, job, state.table, target.sequence)
        except Exception as e:  # noqa: BLE001 - see above
            log.warning("what was staged could not be cleared away yet: %s", classify(e))
            return state, etag
        state = state.model_copy(update={"leftover": None})
        return state, tables.save(store, job, state, etag)

    def _clean_late(self, target: Target) -> None:
        """Clears away what this run staged too late, after the commit of its sequence. Before that
        it stays: others' rows of the sequence lie there too. So do the names of what is to go from
        the source, until it went.
        """
        context, job = self.context, self.context.job
        try:
            state, _ = tables.load(context.store, job.name, target.table)
            needed = target.delete_source and state.leftover is not None
            if state.sequence >= target.sequence and not needed:
                with registry.open_destination(context.connection(job.destination)) as destination:
                    destination.clean(target)
        except CopyJobError as e:
            log.warning("what was staged too late could not be cleared away: %s", e)

    def _hold(self, run_id: str) -> JsonDict:
        """Makes sure that the run still has the job, and holds it longer in good time."""
        store, job, ttl = self.context.store, self.context.job.name, self.context.lease_s
        if lease.check(store, job, run_id).until < time.time() + ttl / 2:
            lease.renew(store, job, ttl, run_id)
        return {}

    @contextmanager
    def _dooming(self, state: TableState, *, always: bool) -> Iterator[None]:
        """Has a pending window planned anew when its rows are refused for what they are."""
        try:
            yield
        except Exception as e:
            error = classify(e)
            lasting = error.recovery in ("config", "terminal")
            if lasting and (always or error.code == "source-changed"):
                self._doom(state)
            raise

    def _doom(self, state: TableState) -> None:
        """Marks a pending window to be planned anew; its staged rows stay until a later commit
        of the same sequence, since a publish that is still under way elsewhere may need them.
        """
        store, job = self.context.store, self.context.job.name
        for _ in range(5):
            now, etag = tables.load(store, job, state.table)
            if now.pending is None or now.pending != state.pending or now.owner != state.owner:
                return
            doomed = now.pending.model_copy(update={"doomed": True})
            try:
                tables.save(store, job, now.model_copy(update={"pending": doomed}), etag)
            except (ConflictError, TransientError):
                continue
            return

    def _tell(self, table: str, event: str, count: int = 0, *, objects: bool = False) -> None:
        rows, files = (0, count) if objects else (count, 0)
        self.context.observe(Progress(table, event, rows, files=files))


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


def _rejected(parts: list[tables.Part]) -> int:
    return sum(part.rows_rejected for part in parts)


def _check_published(commit: Commit, published: Published) -> None:
    if published.plan_id != commit.plan_id:
        raise ConflictError(
            "another run published its plan of this sequence first; this run stops here",
            fix="Nothing was lost: the next run goes on from there",
            code="overtaken",
        )
    if published.rows + published.superseded != commit.rows:
        raise TerminalError(
            f"{commit.rows} rows were staged but the destination published"
            f" {published.rows} and left out {published.superseded}",
            fix="The watermark was not moved; look at the destination before running again",
            code="count-mismatch",
        )

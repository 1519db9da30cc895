"""Runs as people deal with them: started, followed, cancelled, resumed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError, ConflictError, CopyJobError
from copy_core.model import JsonDict, RunRequest, RunSummary
from copy_core.reset import check_alone
from copy_core.run_ids import keyed, new_run_id, resumed_as, same_chain
from copy_core.selection import selected
from copy_core.service import run_records
from copy_core.service.run_records import RunView
from copy_core.state import history, lease, tables
from copy_core.state.base import ABSENT, ANY

if TYPE_CHECKING:
    from copy_core.service.service import Service
    from copy_core.state.base import StateStore

_RUN_ID = re.compile(r"[A-Za-z0-9][\w.:~+-]{0,199}", re.ASCII)
_DONE = ("copied", "unchanged")


def new_request(
    job: str,
    trigger: str,
    tables: Sequence[str] | None = None,
    *,
    full: bool = False,
    key: str | None = None,
) -> RunRequest:
    """A run to be started.

    Args:
        job: the job.
        trigger: what starts it.
        tables: the tables to copy; all when None.
        full: whether to copy them anew.
        key: who gives the same key again means the same run; a new run when None.
    """
    run_id = new_run_id() if key is None else keyed(job, key)
    names = None if tables is None else tuple(tables)
    return RunRequest(run_id=run_id, job=job, trigger=trigger, tables=names, full=full)


async def start(service: Service, request: RunRequest) -> None:
    """Starts a run; one that was started before is left alone.

    Raises:
        ConfigError: there is no such job (code `job-unknown`) or table (`table-unknown`), or the
            job cannot be run as it is written.
        ConflictError: another run holds the job (code `lease-held`; its text names the holder), or
            the run id was used for something else (`key-reused`).
        TransientError: it could not be started now; asking again with the same id is safe.
    """
    if not await asyncio.to_thread(_admit, service, request):
        return
    try:
        started = await service.launcher.start(request)
    except CopyJobError:
        await asyncio.to_thread(history.forget_asked, service.store, request.run_id)
        raise
    if started or await service.launcher.progress(request.run_id) is not None:
        return
    if await asyncio.to_thread(history.run, service.store, request.run_id) is None:
        raise ConflictError(
            "this run was started before, and found its job taken by another",
            fix="Ask for a new run: this one's name is used up",
            code="key-used-up",
            job=request.job,
            run=request.run_id,
        )


async def get(service: Service, run_id: str) -> RunView:
    """A run as it is now.

    Raises:
        ConfigError: there is none (code `run-unknown`).
    """
    if _RUN_ID.fullmatch(run_id):
        found = await asyncio.to_thread(run_records.found, service.store, run_id)
        if found is not None and found.status != "running":
            return _view(found)
        progress = await service.launcher.progress(run_id)
        if found is not None:
            return _view(found, progress)
        if pending := await asyncio.to_thread(_pending, service.store, run_id, progress):
            return pending
    raise ConfigError(
        "there is no such run",
        fix="GET /api/runs lists the runs that are remembered",
        code="run-unknown",
        run=run_id,
    )


def listed(
    service: Service, job: str | None = None, limit: int = 20, before: str | None = None
) -> history.Page:
    """A page of runs, newest first; as `history.runs`, with those that were interrupted told."""
    page = history.runs(service.store, job, limit, before)
    return page._replace(runs=tuple(history.now(service.store, each) for each in page.runs))


async def cancel(service: Service, run_id: str) -> None:
    """Has a run stop between two batches; the next run goes on from there.

    Raises:
        ConfigError: there is no such run.
        ConflictError: it has ended (code `run-ended`), or is about to begin (`run-begins`).
    """
    run = await get(service, run_id)
    if run.status == "running":
        if await asyncio.to_thread(lease.ask_to_stop, service.store, run.job, run_id):
            return
        run = await get(service, run_id)
    if run.status == "running":
        raise ConflictError(
            "the run is about to begin", fix="Ask again", code="run-begins", run=run_id
        )
    told: str = run.status
    if told == "interrupted":
        told = await asyncio.to_thread(run_records.close, service.store, run, "cancelled")
        if told == "cancelled":
            return
    raise ConflictError(f"the run has ended already: {told}", code="run-ended", run=run_id)


async def resume(service: Service, run_id: str) -> RunRequest:
    """Starts a run of the tables that another one did not finish. A run is resumed once: what that
    leaves is resumed from the new run.

    Returns:
        The new run.

    Raises:
        ConfigError: there is no such run, or its job is not there any more.
        ConflictError: it is still under way (code `run-under-way`), was resumed before
            (`run-resumed`), finished every table (`nothing-to-resume`), or another run holds the
            job (`lease-held`).
    """
    return await go_on(service, await get(service, run_id))


async def go_on(service: Service, run: RunView) -> RunRequest:
    """As `resume`, for a run that was looked at: one that has ended since is refused with a
    ConflictError too (code `run-ended`).
    """
    run_id = run.run_id
    if run.status == "running":
        raise ConflictError(
            "the run is still under way", fix="Cancel it first", code="run-under-way", run=run_id
        )
    rest = await asyncio.to_thread(_rest, service, run)
    if rest is None:
        if run.status == "interrupted":
            await asyncio.to_thread(run_records.close, service.store, run, "succeeded")
        raise ConflictError(
            "every table of the run was copied", code="nothing-to-resume", run=run_id
        )
    await start(service, rest)
    if run.status == "interrupted":
        await asyncio.to_thread(run_records.close, service.store, run, "interrupted")
    return rest


def _admit(service: Service, request: RunRequest) -> bool:
    """Checks and remembers a request; False when its run was started before."""
    store = service.store
    begun = history.run(store, request.run_id) is not None
    earlier = history.asked(store, request.run_id)
    if earlier is not None and earlier.request != request:
        raise ConflictError(
            "the key was used before, to ask for something else",
            fix="Use a new key for each run",
            code="key-reused",
            job=request.job,
        )
    if begun:
        return False
    job = service.catalog.load(request.job).job
    names = selected(job, request.tables or ())
    if request.full:
        check_alone(job, names)
    held = run_records.holder(store, job.name)
    if held is not None and held.run_id != request.run_id:
        raise ConflictError(
            f"the job is being run already: {held} holds it",
            fix="Wait for that run to end, or cancel it",
            code="lease-held",
            holder=str(held),
            job=job.name,
        )
    try:
        history.ask(store, request, datetime.now(UTC), ANY if earlier else ABSENT)
    except ConflictError:
        return _admit(service, request)  # somebody used the key at this moment: look what for
    return True


def _pending(store: StateStore, run_id: str, progress: JsonDict | None) -> RunView | None:
    """A run that had not begun a moment ago; None when nobody asked for it."""
    asked = history.asked(store, run_id)
    if asked is None:
        return None
    if found := run_records.found(store, run_id):
        return _view(found, progress)
    return RunView(
        **asked.request.model_dump(include={"run_id", "job", "trigger"}),
        status="interrupted" if progress is None else "running",
        started_at=asked.at,
        ended_at="",
        progress=progress,
    )


def _rest(service: Service, run: RunView) -> RunRequest | None:
    """A run of the tables that another did not finish; None when it finished all."""
    store, run_id = service.store, resumed_as(run.run_id)
    if history.run(store, run_id) is not None:
        raise ConflictError(
            f"run {run_id} went on with it", fix="Resume that one", code="run-resumed", run=run_id
        )
    if not run.ended_at and history.ended(store, run.run_id):
        raise ConflictError(
            "the run has ended meanwhile", fix="Look at it again", code="run-ended", run=run.run_id
        )
    asked = history.asked(store, run.run_id)
    job = service.catalog.load(run.job).job
    known = [table.source for table in job.tables]
    wanted = (asked.request.tables if asked else None) or known
    done = {table.source for table in run.tables if table.status in _DONE}
    rest = [name for name in known if name in wanted and name not in done]
    if not rest:
        return None
    full = asked is not None and asked.request.full
    if full:
        # Tables that the run began anew go on where they are; if some were not begun, all begin.
        owners = (tables.load(store, job.name, name)[0].owner for name in rest)
        full = any(not same_chain(owner, run.run_id) for owner in owners)
    names = None if rest == known else tuple(rest)
    return RunRequest(run_id=run_id, job=job.name, trigger="resume", tables=names, full=full)


def _view(found: RunSummary, progress: JsonDict | None = None) -> RunView:
    shared = {name: getattr(found, name) for name in RunSummary.model_fields}
    return RunView(**shared, progress=progress if found.status == "running" else None)

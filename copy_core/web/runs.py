"""Routes for runs: start, follow, cancel, resume."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from copy_core.job import JOB_NAME
from copy_core.service import runs
from copy_core.service.run_records import RunView
from copy_core.state.history import RunHeader
from copy_core.web.deps import JobName, TableName, TheService
from copy_core.web.problems import documented

router = APIRouter(tags=["runs"])

_RUN_ID = "20261122T023000-4f1c2a"
_TABLE = {
    "source": "orders",
    "destination": "orders",
    "status": "copied",
    "load_type": "incremental",
    "rows_read": 1200,
    "rows_written": 1200,
    "rows_rejected": 0,
    "lower_bound": "2026-11-21 23:59:58",
    "upper_bound": "2026-11-22 02:29:41",
    "parts": 1,
    "duration_s": 1.9,
    "rows_per_s": 631.6,
    "ended_at": "2026-11-22T02:30:02.113+00:00",
}
_RUN = {
    "run_id": _RUN_ID,
    "job": "sales",
    "trigger": "http",
    "status": "running",
    "started_at": "2026-11-22T02:30:00.104+00:00",
    "ended_at": "",
    "error": None,
}
_LISTED = {
    "tables": 2,
    "failed": 0,
    "rows_read": 1200,
    "rows_written": 1200,
    "files_written": 1,
    "bytes_written": 40960,
}
_PROGRESS = {"tables": 2, "done": 1, "failed": 0, "rows": 5200, "bytes": 81920, "rows_per_s": 1733}


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class StartRun(BaseModel):
    """What a run is to copy; everything that is new, when nothing is said.

    Attributes:
        tables: the tables to copy, by their names at the source; all when left out.
        full: copies them anew: the first commit replaces what is at the destination.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"tables": ["orders"], "full": False}]},
    )

    tables: Annotated[list[TableName], Field(min_length=1)] | None = None
    full: bool = False


class RunAccepted(BaseModel):
    """A run that begins, or is told to stop; `url` shows what becomes of it."""

    model_config = _example({"run_id": _RUN_ID, "url": f"/api/runs/{_RUN_ID}"})

    run_id: str
    url: str


class Run(RunView):
    """A run as it is now.

    While it is under way, `tables` holds those that have ended, and `ended_at` is empty.
    `interrupted` is a run whose process died; it can be resumed or cancelled.
    """

    model_config = _example({**_RUN, "tables": [_TABLE], "progress": _PROGRESS})


class RunList(BaseModel):
    """Some runs, newest first. `next` is the `before` of the page after this one."""

    model_config = _example({"runs": [{**_RUN, **_LISTED}], "next": None})

    runs: tuple[RunHeader, ...]
    next: str | None


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It was asked for.",
        "headers": {
            "Location": {"description": "Where the run is.", "schema": {"type": "string"}},
        },
    }
}


@router.post("/jobs/{job}/runs", status_code=202, responses={**_ACCEPTED, **documented(404, 409)})
async def start_run(
    service: TheService,
    response: Response,
    job: JobName,
    wanted: StartRun | None = None,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            description="Who asks again with the same key gets the same run.",
        ),
    ] = None,
) -> RunAccepted:
    """Starts a run now. Answers 409 while another run holds the job; the answer names it."""
    wanted = wanted or StartRun()
    request = runs.new_request(job, "http", wanted.tables, full=wanted.full, key=key)
    await runs.start(service, request)
    return _accepted(request.run_id, response)


@router.get("/runs")
def list_runs(
    service: TheService,
    job: Annotated[
        str | None, Query(pattern=JOB_NAME, description="Whose runs; all jobs' if left out.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many.")] = 20,
    before: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{18}/[!-~]{1,200}$", description="`next` of the page before this one."
        ),
    ] = None,
) -> RunList:
    """Lists runs, newest first, in pages."""
    page = runs.listed(service, job, limit, before)
    return RunList(runs=page.runs, next=page.next)


@router.get("/runs/{run_id}", responses=documented(404))
async def get_run(service: TheService, run_id: str) -> Run:
    """Shows a run with its tables, and how far it is."""
    return Run(**dict(await runs.get(service, run_id)))


@router.post(
    "/runs/{run_id}/cancel", status_code=202, responses={**_ACCEPTED, **documented(404, 409)}
)
async def cancel_run(service: TheService, response: Response, run_id: str) -> RunAccepted:
    """Has a run stop between two batches. What it did stays, and the next run goes on from there.

    Answers 409 when the run has ended.
    """
    await runs.cancel(service, run_id)
    return _accepted(run_id, response)


@router.post(
    "/runs/{run_id}/resume", status_code=202, responses={**_ACCEPTED, **documented(404, 409)}
)
async def resume_run(service: TheService, response: Response, run_id: str) -> RunAccepted:
    """Starts a run of the tables that this one did not finish.

    Answers 409 when there are none, or a run holds the job.
    """
    resumed = await runs.resume(service, run_id)
    return _accepted(resumed.run_id, response)


def _accepted(run_id: str, response: Response) -> RunAccepted:
    url = f"/api/runs/{run_id}"
    response.headers["Location"] = url
    return RunAccepted(run_id=run_id, url=url)

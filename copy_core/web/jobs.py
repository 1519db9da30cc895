"""Routes for job definitions: list, read, write, delete, check."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from copy_core.errors import ConfigError, CopyJobError
from copy_core.job import Job, Schedule
from copy_core.jobfile import JobFileError, Loaded
from copy_core.service.catalog import Catalog
from copy_core.service.jobs import JobDocument, is_job_name
from copy_core.service.schedule import upcoming
from copy_core.web import etags, examples
from copy_core.web.deps import JobName, TheService
from copy_core.web.problems import Fault, Problem, documented, faults, problem
from copy_core.yaml_lines import parse

router = APIRouter(tags=["jobs"])

_TYPES = ("application/yaml", "text/yaml", "application/x-yaml", "application/json", "text/plain")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The job as YAML, or as JSON.",
        "content": {
            kind: {"schema": {}} | ({"example": examples.JOB_TEXT} if "yaml" in kind else {})
            for kind in _TYPES
        },
    }
}

_TAGGED: dict[str, Any] = {
    "headers": {
        "ETag": {
            "description": "The version, for `If-Match` and `If-None-Match`.",
            "schema": {"type": "string"},
        }
    }
}

IfNoneMatch = Annotated[
    str | None, Header(description="Versions that are known already; `*` for any.")
]
IfMatch = Annotated[str | None, Header(description="The version to change, from its `ETag`.")]


class JobLine(BaseModel):
    """A job as the list shows it.

    Attributes:
        name: its name.
        etag: its version.
        valid: whether it can run.
        problem: why it cannot.
        source: the connection that it reads from; as what follows, null when it is not valid.
        destination: the connection that it writes to.
        tables: how many tables it copies.
        schedules: when it starts by itself.
        next_start: when it does so next, in UTC.
    """

    name: str
    etag: str
    valid: bool
    problem: Problem | None = None
    source: str | None = None
    destination: str | None = None
    tables: int | None = None
    schedules: list[Schedule] = []
    next_start: datetime | None = None


class JobList(BaseModel):
    """All jobs, by name."""

    model_config = examples.shown({"jobs": [examples.JOB_LINE]})

    jobs: list[JobLine]


class JobFull(BaseModel):
    """A job's definition.

    Attributes:
        name: its name.
        etag: its version, as `If-Match` wants it.
        text: what is written down.
        valid: whether it can run.
        problems: what is wrong with it.
        definition: the job with every setting decided; null when it is not valid.
    """

    model_config = examples.shown(examples.JOB_FULL)

    name: str
    etag: str
    text: str
    valid: bool
    problems: list[Fault] = []
    definition: Job | None = None


class Verdict(BaseModel):
    """What a check of a job's text found."""

    model_config = examples.shown(
        {"valid": True, "problems": []}, {"valid": False, "problems": [examples.FAULT]}
    )

    valid: bool
    problems: list[Fault] = []


async def _text(request: Request) -> str:
    """The text of a job in the body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES:
        raise ConfigError(
            f"a body of type {kind or 'unknown'} is not understood",
            fix=f"Send YAML or JSON with Content-Type {', '.join(_TYPES)}",
            code="content-type",
        )
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ConfigError("the body is not UTF-8", fix="Send it as UTF-8", code="request") from e


JobText = Annotated[str, Depends(_text)]


@router.get("/jobs")
def list_jobs(service: TheService) -> JobList:
    """Lists all jobs; one that is broken does not hide the others."""
    now, catalog = datetime.now(UTC), service.catalog
    tags = catalog.etags()
    found = [_line(name, tags.get(name, ""), loaded, now) for name, loaded in catalog.loaded()]
    return JobList(jobs=found)


@router.get(
    "/jobs/{job}",
    response_model=JobFull,
    responses={**documented(404), 200: _TAGGED, 304: {**_TAGGED, "description": "Not modified."}},
)
def get_job(
    service: TheService, name: JobName, response: Response, if_none_match: IfNoneMatch = None
) -> JobFull | Response:
    """Reads a job's definition, also one that is broken."""
    document = service.catalog.document(name)
    tag = {"ETag": etags.quoted(document.etag)}
    if etags.unchanged(document.etag, if_none_match):
        return Response(status_code=304, headers=tag)
    response.headers.update(tag)
    return _full(service.catalog, document)


@router.put(
    "/jobs/{job}",
    responses={
        **documented(412, 415, 428),
        200: _TAGGED,
        201: {**_TAGGED, "description": "Created.", "model": JobFull},
    },
    openapi_extra=_BODY,
)
def put_job(
    service: TheService,
    name: JobName,
    text: JobText,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> JobFull:
    """Writes a job: a new one with `If-None-Match: *`, an existing one with `If-Match`.

    It is checked first, and may name only connections that the operator has defined.
    """
    catalog = service.catalog
    expected: str | None = None
    if if_match is not None:
        expected = _expected(catalog, name, if_match)
        if expected is None:
            raise etags.changed(name)
    elif if_none_match is None or if_none_match.strip() != "*":
        raise etags.missing("If-Match with the ETag of the job, or If-None-Match: * for a new one")
    document = catalog.put(name, text, expected)
    response.status_code = 200 if expected else 201
    response.headers["ETag"] = etags.quoted(document.etag)
    return _full(catalog, document)


@router.delete("/jobs/{job}", status_code=204, responses=documented(404, 412, 428))
def delete_job(service: TheService, name: JobName, if_match: IfMatch = None) -> None:
    """Deletes a job's definition. What it remembers of its tables, and its runs, stay."""
    if if_match is None:
        raise etags.missing("If-Match with the ETag of the job")
    document = service.catalog.document(name)
    etags.require(document.etag, if_match, job=name)
    service.catalog.delete(name, document.etag)


@router.post("/validate", responses=documented(415), openapi_extra=_BODY)
def validate(
    service: TheService,
    text: JobText,
    name: Annotated[
        str, Query(alias="job", max_length=100, description="What the job is to be called.")
    ] = "",
) -> Verdict:
    """Checks a job without keeping it."""
    try:
        service.catalog.check(name or _named(text), text)
    except JobFileError as e:
        return Verdict(valid=False, problems=faults(e.problems))
    return Verdict(valid=True)


def _named(text: str) -> str:
    """What a job calls itself."""
    written = (parse(text, Path("job.yaml"), None).data or {}).get("name")
    return written if isinstance(written, str) and is_job_name(written) else "job"


def _expected(catalog: Catalog, name: str, if_match: str) -> str | None:
    """The etag that the store must have; None when there is no such job."""
    try:
        document = catalog.document(name)
    except ConfigError as e:
        if e.code == "job-unknown":
            return None
        raise
    etags.require(document.etag, if_match, job=name)
    return document.etag


def _line(name: str, etag: str, found: Loaded | CopyJobError, now: datetime) -> JobLine:
    if isinstance(found, CopyJobError):
        return JobLine(name=name, etag=etags.quoted(etag), valid=False, problem=problem(found))
    job = found.job
    starts = [start for each in job.schedules for start in upcoming(each, now, 1)]
    return JobLine(
        name=name,
        etag=etags.quoted(etag),
        valid=True,
        source=job.source,
        destination=job.destination,
        tables=len(job.tables),
        schedules=list(job.schedules),
        next_start=min(starts, default=None),
    )


def _full(catalog: Catalog, document: JobDocument) -> JobFull:
    shown = JobFull(
        name=document.name, etag=etags.quoted(document.etag), text=document.text, valid=False
    )
    try:
        job = catalog.read(document).job
    except JobFileError as e:
        return shown.model_copy(update={"problems": faults(e.problems)})
    return shown.model_copy(update={"valid": True, "definition": job})

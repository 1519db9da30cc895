"""Errors as answers: problem details (RFC 9457), whose status tells what recovers from them."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from copy_core.errors import ConfigError, CopyJobError, TransientError
from copy_core.jobfile import JobFileError
from copy_core.secrets import scrub
from copy_core.web import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import Request

    from copy_core.yaml_lines import Problem as Mistake

MEDIA_TYPE = "application/problem+json"

_RETRY_AFTER_S = 5

_BY_CODE = {
    # Event Grid does not send again what is answered with 400, and does for most else.
    "event": 400,
    "not-signed-in": 401,
    "cross-site": 403,
    "host-unknown": 403,
    "connection-unknown": 404,
    "job-unknown": 404,
    "route-unknown": 404,
    "run-unknown": 404,
    "table-missing": 404,
    "table-unknown": 404,
    "method-unknown": 405,
    "changed": 412,
    "too-large": 413,
    "content-type": 415,
    "precondition-missing": 428,
    "deadline": 504,
}
_BY_RECOVERY = {"config": 422, "conflict": 409, "cancelled": 409, "transient": 503, "terminal": 500}
_MEANING = {
    400: "The body is no event that is understood.",
    401: "No credentials, or not the right ones.",
    403: "A request from another site, or by a name that this service does not go by.",
    404: "There is no such thing.",
    405: "There is no such method here.",
    409: "A run holds the job.",
    412: "It is not, or no longer, what the condition says.",
    413: "The body is too large.",
    415: "The body is of a type that is not understood.",
    422: "Something must be changed: in the request, the job or the connection.",
    428: "The request must say which version it is about.",
    500: "The service's own settings or state are wrong, or something unforeseen happened.",
    502: "The system behind a connection refuses.",
    503: "A passing failure: ask again after the time in `Retry-After`.",
    504: "It took too long. A change may still take effect.",
}
EVERYWHERE = (401, 403, 413, 422, 500, 503, 504)
"""Statuses that any route but health may answer."""


class Fault(BaseModel):
    """One thing that is wrong in a job file or a request.

    Attributes:
        file: the file that it is in; "" for a request.
        line: the line in the text, from 1; 0 when the whole is meant.
        column: the character in the line, from 1; 0 likewise.
        path: where in the data, such as `tables[2].write`.
        what: what is wrong.
        fix: what to change; "" when `what` says it all.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    path: str
    what: str
    fix: str = ""


class Problem(BaseModel):
    """Problem details (RFC 9457).

    Attributes:
        type: always `about:blank`; `code` tells problems apart.
        title: the status in words.
        status: the HTTP status.
        detail: what happened.
        code: a stable name for machines.
        where: the place by kind: job, table, column, file, connection.
        fix: what to change; "" when nothing can be.
        problems: for a job file or a request, all that is wrong in it.
    """

    model_config = examples.shown(examples.PROBLEM)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    where: dict[str, str] = {}
    fix: str = ""
    problems: list[Fault] = []


def status_of(error: CopyJobError) -> int:
    """The HTTP status that says what may be done about an error."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.recovery == "terminal" and "connection" in error.where:
        return 502
    return _BY_RECOVERY[error.recovery]


def problem(error: CopyJobError) -> Problem:
    """An error as its problem details. No secret that was resolved here is in it."""
    status = status_of(error)
    found = faults(error.problems) if isinstance(error, JobFileError) else []
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=f"{len(found)} problem(s) in the job file" if found else error.what,
        code=error.code,
        where=error.where,
        fix=error.fix,
        problems=found,
    )


def answer(error: CopyJobError) -> JSONResponse:
    """An error as an answer."""
    return _answer(problem(error), error)


def faults(mistakes: Iterable[Mistake]) -> list[Fault]:
    """What is wrong in a job file, for an answer."""
    return [
        Fault(
            file=scrub(mistake.file),
            line=mistake.line,
            column=mistake.column,
            path=scrub(mistake.path),
            what=scrub(mistake.what),
            fix=scrub(mistake.fix),
        )
        for mistake in mistakes
    ]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of error answers with these statuses."""
    return {
        status: {
            "description": _MEANING[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Makes an app answer every error with problem details."""
    app.add_exception_handler(CopyJobError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CopyJobError)  # noqa: S101 - what it was registered for
    return answer(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """The input itself is not repeated: it may hold what is secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
    wrong = ConfigError("the request cannot be understood", code="request")
    details = problem(wrong)
    details.problems = [
        Fault(path=scrub(".".join(map(str, each["loc"]))), what=scrub(each["msg"]))
        for each in error.errors()
    ]
    return _answer(details, wrong)


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: paths and methods that nothing serves."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
    if error.status_code == 400:
        return answer(
            ConfigError("the body cannot be read as JSON", fix="Send it as UTF-8", code="request")
        )
    code = {404: "route-unknown", 405: "method-unknown"}.get(error.status_code, "request")
    details = Problem(
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail=scrub(str(error.detail)),
        code=code,
        fix="/api/openapi.json lists what there is" if error.status_code in (404, 405) else "",
    )
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return JSONResponse(
        details.model_dump(mode="json"), error.status_code, headers=headers, media_type=MEDIA_TYPE
    )


def _methods(request: Request) -> list[str]:
    """Every method that is served at a path; the framework names those of one route only."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex.match(request.scope["path"]):
            found |= route.methods or set()
    return sorted(found)


def _answer(details: Problem, error: CopyJobError) -> JSONResponse:
    headers = {}
    if details.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="copyjob"'
    if details.status == 503:
        asked = error.retry_after if isinstance(error, TransientError) else None
        headers["Retry-After"] = str(ceil(asked or _RETRY_AFTER_S))
    body = details.model_dump(mode="json")
    return JSONResponse(body, details.status, headers=headers, media_type=MEDIA_TYPE)

"""Routes for events: what a store tells of objects that appeared starts the jobs that watch."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel

from copy_core.service import events
from copy_core.web import examples
from copy_core.web.deps import TheService
from copy_core.web.problems import documented

router = APIRouter(tags=["events"])

# SNS sends its JSON as plain text.
_TYPES: dict[str, Any] = {**examples.EVENTS, "text/plain": None}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Events of Azure Storage in Event Grid's schema or as CloudEvents, or"
        " notifications of S3, as they are, through SNS or through EventBridge.",
        "content": {
            kind: {"schema": {}} | ({"example": event} if event else {})
            for kind, event in _TYPES.items()
        },
    }
}


class EventRun(BaseModel):
    """A run that an event asks for: it begins now, or when the job is free."""

    job: str
    run_id: str


class EventsTaken(BaseModel):
    """The runs of the jobs that watch for what was told; none when nobody does."""

    model_config = examples.shown({"runs": [{"job": "sales", "run_id": "sales-0f3a91c24b7d"}]})

    runs: list[EventRun]


class ValidationAnswer(BaseModel):
    """Event Grid's question whether somebody is here, answered."""

    model_config = examples.shown({"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"})

    validationResponse: str  # noqa: N815 - Event Grid's name


@router.post(
    "/events",
    status_code=202,
    response_model=EventsTaken,
    responses={
        **documented(400),
        200: {"model": ValidationAnswer, "description": "The answer to Event Grid's handshake."},
    },
    openapi_extra=_BODY,
)
async def receive_events(service: TheService, request: Request) -> EventsTaken | Response:
    """Takes storage events. One that is sent again starts nothing again."""
    found = events.parse(await request.body())
    if isinstance(found, events.Handshake):
        answer = ValidationAnswer.model_validate(found.answer)
        return Response(answer.model_dump_json(), media_type="application/json")
    runs = await events.received(service, found)
    return EventsTaken(runs=[EventRun(job=run.job, run_id=run.run_id) for run in runs])


@router.options("/events", response_class=Response)
async def allow_events(
    origin: Annotated[
        str,
        Header(
            alias="WebHook-Request-Origin",
            max_length=500,
            pattern=r"^[ -~]*$",
            description="Who wants to send.",
        ),
    ] = "",
) -> Response:
    """Answers the handshake of CloudEvents: whether they may be sent here."""
    return Response(headers=events.permission(origin) if origin else {})

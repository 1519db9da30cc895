"""Whatever is asked, the API answers as its OpenAPI says, and never with a failure of its own."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from copy_core.service.service import Service
from copy_core.web.app import create_app
from copy_core.web.security import TokenGuard
from tests.web.conftest import CREDENTIALS, TOKEN


def no_service() -> Service:
    raise AssertionError("only asked for its OpenAPI")


class Stand:
    """Stands for the app of the test that runs: routes are collected before there is one."""

    app: FastAPI = create_app(no_service, TokenGuard(TOKEN))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


stand = Stand()
# Parameters that nobody knows are passed over, as is usual: senders of events add their own.
plan = schemathesis.Config.from_dict({"generation": {"allow-extra-parameters": False}})
api = schemathesis.openapi.from_asgi("/api/openapi.json", stand, config=plan, headers=CREDENTIALS)


@pytest.fixture
def served(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand, "app", app)


@api.parametrize()
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@pytest.mark.usefixtures("served")
# Schemathesis draws a random number of its own now and then, which Hypothesis notices.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
def test_every_answer_is_documented(case: schemathesis.Case[Any]) -> None:
    # What a schema allows may still be refused: a condition that does not hold, an unknown column.
    passed_over = [positive_data_acceptance]
    if any(isinstance(value, list) for value in case.query.values()):
        # Of a parameter that is given twice the last one counts, whatever the others are.
        passed_over.append(negative_data_rejection)
    case.call_and_validate(headers=CREDENTIALS, excluded_checks=passed_over)

"""Starts runs as Durable orchestrations, with the real client."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from copy_core.errors import TransientError
from copy_core.service.launcher import Launcher

if TYPE_CHECKING:
    from copy_core.model import JsonDict, RunRequest

PLANNED_TOGETHER = 25
"""Tables that one activity plans: an unchanged table costs a small part of an activity."""

client: ContextVar[Any] = ContextVar("durable_client")
"""The `DurableOrchestrationClient` of the function call under way: there is one for each."""

_ENDED = ("Completed", "Failed", "Terminated", "Canceled")


class DurableLauncher(Launcher):
    """Starts an orchestration a run; its instance id is the run id."""

    async def start(self, request: RunRequest) -> bool:
        # Durable refuses an id that is running, but would begin one anew that has ended.
        if await self._status(request.run_id) is not None:
            return False
        run = {**request.to_json(), "group": PLANNED_TOGETHER}
        try:
            await client.get().start_new("run_job", request.run_id, run)
        except Exception as e:
            if "already exists" in str(e):
                return False
            raise _unreachable(e, request.job) from e
        return True

    async def progress(self, run_id: str) -> JsonDict | None:
        status = await self._status(run_id)
        if status is None or status.runtime_status.value in _ENDED:
            return None
        return status.custom_status if isinstance(status.custom_status, dict) else {}

    async def purge(self, before: datetime) -> None:
        from azure.durable_functions import OrchestrationRuntimeStatus

        try:
            await client.get().purge_instance_history_by(
                created_time_from=datetime(2020, 1, 1, tzinfo=UTC),
                created_time_to=before,
                runtime_status=[OrchestrationRuntimeStatus(name) for name in _ENDED],
            )
        except Exception as e:
            raise _unreachable(e) from e

    async def _status(self, run_id: str) -> Any | None:
        """The status of a run's instance; None when there is none."""
        try:
            found = await client.get().get_status(run_id)
        except Exception as e:
            raise _unreachable(e) from e
        return found if found.runtime_status is not None else None


def _unreachable(error: Exception, job: str = "") -> TransientError:
    return TransientError(
        f"Durable Functions does not answer: {error}",
        fix="Look whether the app's storage account can be reached; asking again is safe",
        code="durable",
        job=job,
    )

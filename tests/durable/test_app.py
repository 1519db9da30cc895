"""The app as a whole: runs are started in each way, and copy each row once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import servers
from tests.durable.shop import Shop
from tests.durable.site import Site, until

TABLES = 50


def by_http(site: Site, job: str) -> str:
    return site.run(job)


def by_timer(site: Site, job: str) -> str:
    """A tick that comes twice starts one run."""
    site.fire("tick")
    site.fire("tick")
    return started(site, job)


def by_event(site: Site, job: str) -> str:
    """An event that is delivered twice starts one run."""
    event = blob_created("landing/in/orders.csv")
    for _ in range(2):
        answer = site.ask("POST", "/api/events", [event])
        assert answer.status in (200, 202), answer
    return started(site, job)


def blob_created(path: str) -> dict[str, Any]:
    """An event as Event Grid sends it when a blob was created."""
    container, _, name = path.partition("/")
    subject = f"/blobServices/default/containers/{container}/blobs/{name}"
    return {
        "id": f"{time.time_ns()}",
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
        "subject": subject,
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-22T10:00:00Z",
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {
            "api": "PutBlob",
            "eTag": "0x8D4BCC2E4835CD0",
            "contentLength": 524288,
            "blobType": "BlockBlob",
            "url": f"https://a.blob.core.windows.net/{path}",
        },
    }


def due_now() -> dict[str, str]:
    """A schedule that came due a second ago, and comes due tomorrow again."""
    return {"cron": f"{datetime.now(UTC) - timedelta(seconds=1):%S %M %H} * * *"}


def started(site: Site, job: str) -> str:
    """Waits for a run of a job to be listed."""
    runs = until(lambda: site.runs(job), lambda: f"nothing was started\n{site.log()[-2000:]}")
    run_id: str = runs[0]["run_id"]
    return run_id


@pytest.mark.parametrize(
    ("start", "trigger"), [(by_http, "http"), (by_timer, "schedule"), (by_event, "event")]
)
def test_a_run_of_fifty_tables_copies_each_row_once(
    site: Site, azurite: servers.Azurite, start: Callable[[Site, str], str], trigger: str
) -> None:
    shop = Shop(site, azurite, TABLES)
    job = shop.job(trigger, schedules=[due_now()], watch=["landing/in/*.csv"])
    run = site.ended(start(site, job))
    assert (run["status"], run["trigger"]) == ("succeeded", trigger)
    assert [t["rows_written"] for t in run["tables"]] == [10] * TABLES
    assert len(site.runs(job)) == 1
    shop.check()

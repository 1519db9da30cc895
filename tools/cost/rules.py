"""Requests that Azure's own parts make for the app, which the test host does not: by rule.

The rules of Durable Functions are those of its Azure Storage provider, read in its source,
https://github.com/Azure/durabletask/tree/main/src/DurableTask.AzureStorage (June 2026).
"""

from __future__ import annotations

from typing import NamedTuple

from tools.cost.counts import Durable
from tools.cost.prices import HOURS_A_MONTH

QUEUES = 5
"""Four control queues, which is the default, and the one with activities."""
_SOURCE = "https://github.com/Azure/durabletask/blob/main/src/DurableTask.AzureStorage"


class Rule(NamedTuple):
    """What one thing of Durable takes.

    Attributes:
        what: the thing.
        tables: requests to tables.
        queues: requests to queues.
        why: which requests they are.
        source: where that is to be read.
    """

    what: str
    tables: int
    queues: int
    why: str
    source: str


START = Rule(
    "an orchestration that the app starts",
    4,
    0,
    "the app and Durable ask whether it is there; its row is written, and read as it begins",
    f"{_SOURCE}/OrchestrationSessionManager.cs",
)
MESSAGE = Rule(
    "a message to an orchestration",
    3,
    3,
    "put, got and deleted; then its history is read, a batch added, its row merged",
    f"{_SOURCE}/AzureStorageOrchestrationService.cs",
)
ACTIVITY = Rule(
    "an activity",
    0,
    3,
    "its own message put, got and deleted; its answer is a message to the orchestration",
    f"{_SOURCE}/AzureStorageOrchestrationService.cs",
)
UNUSED = Rule(
    "a timer that is waited for no more",
    2,
    3,
    "its message is put; a day later it is got, its orchestration found ended, and it is deleted",
    "https://github.com/Azure/durabletask/blob/main/src/DurableTask.Core/TaskOrchestrationContext.cs",
)
RULES = (START, MESSAGE, ACTIVITY, UNUSED)


def requests(done: Durable) -> tuple[int, int]:
    """Requests to tables and to queues for what orchestrations did, at most: messages that are
    taken together share some.
    """
    times = (done.started, done.messages, done.activities, done.unused)
    tables = sum(rule.tables * count for rule, count in zip(RULES, times, strict=True))
    queues = sum(rule.queues * count for rule, count in zip(RULES, times, strict=True))
    return tables, queues


def executions(done: Durable) -> int:
    """Executions of functions, at most: each replay of an orchestrator is one
    (https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-billing).
    """
    return done.messages + done.activities


def actions(done: Durable) -> int:
    """What a Durable Task Scheduler bills in place of requests
    (https://learn.microsoft.com/azure/durable-task/scheduler/durable-task-scheduler-billing).
    """
    return done.messages + done.activities + done.unused


TICKS_A_MONTH = HOURS_A_MONTH * 60
STATUS_WRITES_A_TICK = 1
"""`use_monitor` of the timer: its status is a blob that is written after each tick
(azure-webjobs-sdk-extensions, StorageScheduleMonitorV2)."""
LOCK_RENEWALS_AN_HOUR = 3600 // 12
"""The host's lock is a lease of 15 seconds on a blob, renewed three seconds before it ends
(azure-functions-host, PrimaryHostCoordinator). The ticks keep an instance up all the time."""
SCALE_LOOKS_AN_HOUR = QUEUES * 3600 // 10
"""The scale controller looks at each queue every 10 seconds, see "queue polling" in
https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-azure-storage-provider.
That page says so of the Consumption and Premium plans; it is assumed of Flex Consumption."""
POLLS_AN_HOUR = QUEUES * 3600 // 30
"""An instance of the Durable group that has nothing to do asks each queue every 30 seconds (the
same page, `maxQueuePollingInterval`)."""
PARTITION_REQUESTS_AN_HOUR = 5 * 3600 // 10
"""It also reads the table of partitions every 10 seconds, and renews its four rows
(TablePartitionManager, `LeaseAcquireInterval`)."""
APP_LEASE_RENEWALS_AN_HOUR = 3600 // 25
"""And it renews the lease that says which app has the task hub (AppLeaseOptions)."""

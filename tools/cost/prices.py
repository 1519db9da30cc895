"""List prices and how they are counted: what to change when yours differ.

US dollars without tax, pay-as-you-go, in the United States (storage: West US, general-purpose v2,
locally redundant, hot), as published by the middle of 2026. The price pages are the truth:
https://azure.microsoft.com/pricing/details/functions/, …/storage/blobs/, …/storage/queues/,
…/storage/tables/, …/monitor/, …/microsoft-fabric/.
"""

from __future__ import annotations

from typing import NamedTuple

HOURS_A_MONTH = 730
MEMORY_GB = 2.0
"""Memory of an instance: COPYJOB_MEMORY_MB, 2,048 unless it is set. It is billed whether used or
not."""
CORES_MEASURED = 4
CORES_BILLED = 1
"""Of the machine that measured, and of an instance of 2,048 MB
(https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#instance-sizes)."""


class Price(NamedTuple):
    """What something costs.

    Attributes:
        what: what is billed.
        dollars: what so many cost.
        per: how many.
        free: how many are free each month, in a subscription.
        source: where the price was read.
    """

    what: str
    dollars: float
    per: int
    free: int
    source: str

    def of(self, count: float) -> float:
        """What so many cost, without anything free."""
        return count * self.dollars / self.per


_FUNCTIONS = "https://learn.microsoft.com/azure/azure-functions/functions-consumption-costs"
_BLOBS = "https://learn.microsoft.com/azure/storage/blobs/blob-storage-estimate-costs#sample-prices"
_LISTS = "https://azure.microsoft.com/pricing/details"

GB_SECOND = Price("GB-second, on demand", 0.000026, 1, 100_000, _FUNCTIONS)
EXECUTION = Price("execution of a function", 0.40, 1_000_000, 250_000, _FUNCTIONS)
ALWAYS_READY = Price(
    "GB-second of an always-ready instance", 0.000004, 1, 0, f"{_LISTS}/functions/"
)
TABLE = Price("request to a table", 0.00036, 10_000, 0, f"{_LISTS}/storage/tables/")
QUEUE = Price("request to a queue", 0.004, 10_000, 0, f"{_LISTS}/storage/queues/")
BLOB_WRITE = Price("write to a blob", 0.055, 10_000, 0, _BLOBS)
BLOB_LIST = Price("list of blobs", 0.055, 10_000, 0, _BLOBS)
BLOB_READ = Price("read of a blob, or a lease", 0.0044, 10_000, 0, _BLOBS)
ALERTS = {1: 3.00, 5: 1.50, 10: 1.00, 15: 0.50}
"""A log alert by the minutes between two looks, a month; seldomer costs no less
(https://azure.microsoft.com/pricing/details/monitor/)."""
CAPACITY_UNIT = Price("hour of a Fabric capacity unit", 0.18, 1, 0, f"{_LISTS}/microsoft-fabric/")
RESERVED = 0.595
"""What a capacity that is reserved for a year costs, as a share of pay-as-you-go."""
F2_UNITS = 2
INCREMENTAL_UNITS = 3
"""Capacity units that an hour of an incremental Copy job takes
(https://learn.microsoft.com/fabric/data-factory/pricing-copy-job)."""

PRICES = (
    GB_SECOND,
    EXECUTION,
    ALWAYS_READY,
    TABLE,
    QUEUE,
    BLOB_WRITE,
    BLOB_LIST,
    BLOB_READ,
    CAPACITY_UNIT,
)

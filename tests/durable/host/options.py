"""How a host behaves, where that differs from test to test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.durable.host.limits import MESSAGE_BYTES

Delivery = Literal["once", "again", "together"]


@dataclass(frozen=True)
class Options:
    """Options of a host; `__main__` has one flag for each.

    Attributes:
        strict: replay on every single event instead of on all that are there, each time twice, and
            compare what comes of it with the time before.
        deliver: how each activity is delivered: `once`; `again`, after an answer that got lost;
            or `together`, twice at the same time, of which the second answer comes too late.
        message_bytes: how large an input or output may be.
        timers: whether timers fire by the clock; by the admin API they fire anyway.
    """

    strict: bool = False
    deliver: Delivery = "once"
    message_bytes: int = MESSAGE_BYTES
    timers: bool = True

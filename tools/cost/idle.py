"""What an app costs that waits: its timer, what Azure looks at for it, and its alerts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tools.cost import prices, rules
from tools.cost.figures import count, dollars, table
from tools.cost.model import Model, polling
from tools.cost.prices import HOURS_A_MONTH, MEMORY_GB

ALERT_RULES = Path(__file__).resolve().parents[2] / "infra/modules/alerts.bicep"
_FREQUENCY = re.compile(r"^ +frequency: 'PT(\d+)([MH])'$", re.MULTILINE)


def idle(model: Model) -> str:
    """The table of what is there all the time."""
    ticks = (model.tick + model.job) * rules.TICKS_A_MONTH
    timer, granted = (ticks.functions(ticks.least, free=free) for free in (False, True))
    asked = polling(HOURS_A_MONTH)
    looks = rules.SCALE_LOOKS_AN_HOUR * HOURS_A_MONTH
    locks = rules.LOCK_RENEWALS_AN_HOUR * HOURS_A_MONTH
    alerts = alert_minutes()
    every = ", ".join(f"{minutes}" for minutes in alerts)
    ready = prices.ALWAYS_READY.of(MEMORY_GB * HOURS_A_MONTH * 3600)
    costs = {
        f"the timer: {count(ticks.executions)} executions,"
        f" {count(ticks.least * MEMORY_GB)} GB-seconds": (
            f"{dollars(timer)}, or {dollars(granted)} with the free grant"
        ),
        f"its requests, with one job: {count(ticks.tables)} to tables,"
        f" {count(ticks.writes)} writes, {count(ticks.lists)} lists,"
        f" {count(ticks.reads)} reads": dollars(ticks.storage),
        f"the host's lock: {count(locks)} renewals": dollars(prices.BLOB_READ.of(locks)),
        f"the scale controller: {count(looks)} looks at queues": dollars(prices.QUEUE.of(looks)),
        f"the {len(alerts)} alert rules of `infra/`, which look every {every} minutes": dollars(
            alert_dollars(alerts)
        ),
        "where copies come so often that an instance stays up:"
        f" {count(asked.queues)} requests to queues, {count(asked.tables)} to tables,"
        f" {count(asked.reads)} renewals": dollars(asked.storage),
        "each instance that is always ready (`COPYJOB_ALWAYS_READY=1` makes two)": dollars(ready),
    }
    return table(("all the time", "$ a month"), costs.items())


def alert_minutes() -> list[int]:
    """How often the alert rules are evaluated that are deployed: minutes between, of each."""
    found = _FREQUENCY.findall(ALERT_RULES.read_text("utf-8"))
    return sorted(int(number) * {"M": 1, "H": 60}[unit] for number, unit in found)


def alert_dollars(minutes: Iterable[int]) -> float:
    """What log alerts cost a month, by the minutes between their looks."""
    return sum(prices.ALERTS[max(n for n in prices.ALERTS if n <= each)] for each in minutes)

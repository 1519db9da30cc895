"""The tables of docs/cost.md, between markers: `<!-- cost: NAME -->` and `<!-- cost end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tools.cost import counts, prices, rules
from tools.cost.counts import Counted
from tools.cost.figures import count, dollars, roughly, span, table
from tools.cost.idle import idle
from tools.cost.model import Model, Month, Usage
from tools.cost.prices import HOURS_A_MONTH, MEMORY_GB, Price

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/cost.md"
COUNTED = Path(__file__).with_name("counted.json")

_MARKED = re.compile(r"(<!-- cost: (\w+) -->\n).*?(<!-- cost end -->)", re.DOTALL)
_GB = 5 * HOURS_A_MONTH / 24
_ALL_DAY = HOURS_A_MONTH
MONTHS = (
    Month("nothing runs"),
    Month("it runs each hour, and nothing is new", HOURS_A_MONTH, 100, 0, 0, _ALL_DAY),
    Month("… 20 tables have new rows each time, 5 GB a day", HOURS_A_MONTH, 80, 20, _GB, _ALL_DAY),
    Month("… all tables have, 5 GB a day", HOURS_A_MONTH, 0, 100, _GB, _ALL_DAY),
)


def filled(page: str) -> str:
    """A page with its tables as they follow from what was counted, the rules and the prices.

    Raises:
        KeyError: a marker names a table that there is not.
    """
    counted = counts.parse(COUNTED.read_text("utf-8"))
    model = Model.fit(counted)
    tables: dict[str, Callable[[], str]] = {
        "units": lambda: _units(model),
        "months": lambda: _months(model),
        "idle": lambda: idle(model),
        "fabric": _fabric,
        "counted": lambda: _counted(counted),
        "durable": lambda: _durable(counted),
        "rules": _rules,
        "prices": _prices,
    }
    return _MARKED.sub(lambda found: f"{found[1]}{tables[found[2]]()}{found[3]}", page)


def _units(model: Model) -> str:
    rows = (
        ("a run, whatever its tables", model.run),
        ("a table with nothing new", model.unchanged),
        ("a table with a few new rows, appended in one part", model.changed),
        ("… upserted: so much more", model.upsert),
        ("each further part of a table", model.part),
        ("a gigabyte of Parquet, with its parts", model.gigabyte),
        ("a tick of the timer, each minute", model.tick),
        ("a job with a schedule, each tick", model.job),
    )
    heads = ("", "tables", "queues", "blobs: writes and lists", "reads", "executions")
    return table((*heads, "seconds, about", "$ for 1,000"), (_unit(*row) for row in rows))


def _unit(what: str, used: Usage) -> list[str]:
    found = (used.tables, used.queues, used.writes + used.lists, used.reads, used.executions)
    seconds = (used.least, used.most)
    cost = [dollars((used.storage + used.functions(each)) * 1000) for each in seconds]
    return [what, *map(count, found), span(*map(roughly, seconds)), span(*cost)]


def _months(model: Model) -> str:
    heads = ("a month in which", "executions", "GB-seconds", "$ for Functions")
    more = ("… with the free grant", "$ for storage requests")
    return table((*heads, *more), (_month(month, model) for month in MONTHS))


def _month(month: Month, model: Model) -> list[str]:
    used = month.usage(model)
    seconds = (used.least, used.most)
    return [
        month.name,
        count(used.executions),
        span(*(count(each * MEMORY_GB) for each in seconds)),
        span(*(dollars(used.functions(each)) for each in seconds)),
        span(*(dollars(used.functions(each, free=True)) for each in seconds)),
        dollars(used.storage),
    ]


def _fabric() -> str:
    hours = prices.F2_UNITS * HOURS_A_MONTH
    paid = prices.CAPACITY_UNIT.of(hours)
    rows = (
        ("what it costs, in $", dollars(paid)),
        ("… reserved for a year", dollars(paid * prices.RESERVED)),
        ("capacity unit hours that it has", count(hours)),
        (
            "hours of an incremental Copy job that they last for",
            count(hours / prices.INCREMENTAL_UNITS),
        ),
    )
    return table(("a Fabric capacity F2, in a month", ""), rows)


_HEADS = {
    "state": ("read", "write"),
    "jobs": ("read", "list"),
    "source": ("read", "list"),
    "destination": ("read", "list", "write"),
}


def _counted(counted: dict[str, Counted]) -> str:
    kinds = [(whose, kind) for whose, each in _HEADS.items() for kind in each]
    heads = ["", *(f"{whose}: {kind}s" for whose, kind in kinds)]
    keys = [f"{whose}.{kind}" for whose, kind in kinds]
    return table(
        heads,
        (
            [_name(name, each), *(str(each.requests.get(key, 0)) for key in keys)]
            for name, each in counted.items()
        ),
    )


def _durable(counted: dict[str, Counted]) -> str:
    heads = ("", "orchestrations", "activities", "messages", "unused timers")
    more = ("requests to tables", "to queues", "actions", "seconds")
    return table(
        (*heads, *more),
        (_orchestrated(name, each) for name, each in counted.items() if each.durable.started),
    )


def _orchestrated(name: str, counted: Counted) -> list[str]:
    done, seconds = counted.durable, counted.seconds
    found = (done.started + done.children, done.activities, done.messages, done.unused)
    figures = (*found, *rules.requests(done), rules.actions(done))
    return [
        _name(name, counted),
        *map(str, figures),
        span(*map(roughly, (seconds.packed, seconds.apart))),
    ]


def _rules() -> str:
    rows = (
        [rule.what, str(rule.tables), str(rule.queues), f"{rule.why} ([source]({rule.source}))"]
        for rule in rules.RULES
    )
    return table(("for each", "tables", "queues", "which requests"), rows)


def _prices() -> str:
    def row(price: Price) -> list[str]:
        figure = f"{price.dollars:.6f}".rstrip("0").ljust(4, "0")
        per = "" if price.per == 1 else f" for {price.per:,}"
        return [price.what, figure + per, f"{price.free:,}" if price.free else "", price.source]

    return table(("what", "$", "free each month", "read at"), map(row, prices.PRICES))


_NAMES = {
    "idle_1": "a tick, 1 job",
    "idle_10": "a tick, 10 jobs",
    "unchanged_1": "1 table, nothing new",
    "unchanged_25": "25 tables, nothing new",
    "unchanged_100": "100 tables, nothing new",
    "changed_1": "1 table, rows appended",
    "changed_10": "10 tables, rows appended",
    "upsert_1": "1 table, rows upserted",
    "parts_8": "1 table, rows in 8 parts",
}


def _name(scenario: str, counted: Counted) -> str:
    return _NAMES.get(scenario) or f"1 table, its first {counted.gigabytes * 1000:.0f} MB"

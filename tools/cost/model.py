"""What a run, a table, a part and a gigabyte take by themselves: from differences of scenarios."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Self

from tools.cost import prices, rules
from tools.cost.counts import Counted
from tools.cost.prices import HOURS_A_MONTH


@dataclass(frozen=True)
class Usage:
    """How much of each thing that is billed.

    Attributes:
        tables: requests to tables.
        queues: requests to queues.
        writes: writes to blobs.
        lists: lists of blobs.
        reads: reads of blobs.
        executions: of functions.
        least: seconds in which functions execute, if a run is one active period; they depend on
            the machine.
        most: the same, if each pause within a run begins another period of a second at least.
        actions: of a Durable Task Scheduler, in place of its requests to tables and queues.
    """

    tables: float = 0.0
    queues: float = 0.0
    writes: float = 0.0
    lists: float = 0.0
    reads: float = 0.0
    executions: float = 0.0
    least: float = 0.0
    most: float = 0.0
    actions: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Usage:
        return Usage(*(each * times for each in astuple(self)))

    def __sub__(self, other: Usage) -> Usage:
        return self + other * -1

    @classmethod
    def of(cls, counted: Counted) -> Self:
        """What a scenario took, with what Azure's own parts do for it."""
        done, found = counted.durable, Counter[str]()
        for name, count in counted.requests.items():
            whose, kind = name.split(".")
            found["state" if whose == "state" else kind] += count
        tables, queues = rules.requests(done)
        seconds = counted.seconds.packed + counted.ticks
        return cls(
            tables=found["state"] + tables,
            queues=queues,
            writes=found["write"] + counted.ticks * rules.STATUS_WRITES_A_TICK,
            lists=found["list"],
            reads=found["read"],
            executions=rules.executions(done) + counted.ticks,
            least=seconds,
            most=seconds,
            actions=rules.actions(done),
        )

    @property
    def storage(self) -> float:
        """Dollars for all requests."""
        return (
            prices.TABLE.of(self.tables)
            + prices.QUEUE.of(self.queues)
            + prices.BLOB_WRITE.of(self.writes)
            + prices.BLOB_LIST.of(self.lists)
            + prices.BLOB_READ.of(self.reads)
        )

    def functions(self, seconds: float, *, free: bool = False) -> float:
        """Dollars for executions and so many seconds.

        Args:
            seconds: what is billed, `least` or `most`.
            free: whether what is free each month was not used up by others.
        """
        gb_seconds, executions = seconds * prices.MEMORY_GB, self.executions
        if free:
            gb_seconds = max(0.0, gb_seconds - prices.GB_SECOND.free)
            executions = max(0.0, executions - prices.EXECUTION.free)
        return prices.GB_SECOND.of(gb_seconds) + prices.EXECUTION.of(executions)


@dataclass(frozen=True)
class Model:
    """What each thing takes by itself; a run takes the sum.

    Attributes:
        tick: the timer, each minute.
        job: a job with a schedule, each tick.
        run: a run, whatever its tables.
        unchanged: a table with nothing new.
        changed: a table with a few new rows, that are appended in one part.
        upsert: what it takes more if they are upserted.
        part: each further part.
        gigabyte: a gigabyte of Parquet, with the parts that it makes.
    """

    tick: Usage
    job: Usage
    run: Usage
    unchanged: Usage
    changed: Usage
    upsert: Usage
    part: Usage
    gigabyte: Usage

    @classmethod
    def fit(cls, counted: dict[str, Counted]) -> Self:
        """Takes the scenarios apart."""
        used = {name: Usage.of(each) for name, each in counted.items()}
        job = (used["idle_10"] - used["idle_1"]) * (1 / 9)
        tick = used["idle_1"] - job
        unchanged = (used["unchanged_100"] - used["unchanged_25"]) * (1 / 75)
        grown = counted["large"].gigabytes - counted["small"].gigabytes
        # Steps that follow one another leave pauses; where tables are copied side by side, others
        # fill them.
        alone = counted["changed_1"].seconds
        pauses = Usage(most=alone.apart - alone.packed)
        return cls(
            tick=tick,
            job=job,
            # Its two ticks come anyway.
            run=used["unchanged_25"] - unchanged * 25 - (tick + job) * 2 + pauses,
            unchanged=unchanged,
            changed=(used["changed_10"] - used["changed_1"]) * (1 / 9),
            upsert=used["upsert_1"] - used["changed_1"],
            part=(used["parts_8"] - used["changed_1"]) * (1 / 7),
            gigabyte=(used["large"] - used["small"]) * (1 / grown),
        )


@dataclass(frozen=True)
class Month:
    """What is done in a month.

    Attributes:
        name: how it is called.
        runs: of one job.
        unchanged: tables with nothing new in each.
        changed: tables with something new in each.
        gigabytes: over all runs.
        listening: hours in which an instance of the Durable group is up.
    """

    name: str
    runs: int = 0
    unchanged: int = 0
    changed: int = 0
    gigabytes: float = 0.0
    listening: float = 0.0

    def usage(self, model: Model, jobs: int = 1) -> Usage:
        """All of it, with what is there when nothing is done."""
        run = model.run + model.unchanged * self.unchanged + model.changed * self.changed
        slower = prices.CORES_MEASURED / prices.CORES_BILLED
        data = model.gigabyte * self.gigabytes
        longer = Usage(least=data.least, most=data.most) * (slower - 1)
        return _total([_standing(model, jobs, self.listening), run * self.runs, data, longer])


def _standing(model: Model, jobs: int, listening: float) -> Usage:
    ticks = (model.tick + model.job * jobs) * rules.TICKS_A_MONTH
    host = Usage(
        reads=rules.LOCK_RENEWALS_AN_HOUR * HOURS_A_MONTH,
        queues=rules.SCALE_LOOKS_AN_HOUR * HOURS_A_MONTH,
    )
    return _total([ticks, host, polling(listening)])


def polling(hours: float) -> Usage:
    """What an instance of the Durable group asks for when it has nothing to do."""
    return Usage(
        queues=rules.POLLS_AN_HOUR * hours,
        tables=rules.PARTITION_REQUESTS_AN_HOUR * hours,
        reads=rules.APP_LEASE_RENEWALS_AN_HOUR * hours,
    )


def _total(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for each in usages:
        total += each
    return total

"""The control flow, once, for every runner.

Each flow is a generator that yields what is to be done next and receives what came of it. It
looks at no clock, draws no random number and does no I/O, so that Durable Functions can replay
it; `runners.local` drives the same generators with threads.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from copy_core.model import JsonDict, Outcome, TableResult
from copy_core.tally import Tally, summarise


@dataclass(frozen=True)
class Call:
    """Run the step `name` of `steps.Steps`; receives its `Outcome`."""

    name: str
    arg: JsonDict


@dataclass(frozen=True)
class Wait:
    """Let some seconds pass; receives None."""

    seconds: float


@dataclass(frozen=True)
class Gather:
    """Run flows, at most `limit` at a time, started in order; receives their results in order.

    Never yielded empty: Durable's `task_all([])` does not behave.
    """

    flows: Sequence[Flow]
    limit: int


@dataclass(frozen=True)
class CopyTable:
    """Run `copy_table` for one table, as an orchestration of its own where there are such;
    receives its `TableResult`.
    """

    arg: JsonDict


Step = Call | Wait | Gather | CopyTable
Flow = Generator[Step, Any, Any]

_LONGEST_WAIT_S = 60.0


def run_job(run: JsonDict) -> Generator[Step, Any, JsonDict]:
    """Copies the tables of a job and ends with its `RunSummary` as JSON.

    Args:
        run: `run_id`, `job`, `trigger` and `tables` (names, or None for all).
    """
    begun, _ = yield from attempt("begin", run, retries=2)
    results: list[TableResult] = []
    if begun.status == "done":
        results = yield from _copy_tables(run["run_id"], **begun.value)
    summary = summarise(run, begun, results)
    if begun.status != "conflict":
        finished, _ = yield from attempt("finish", {"summary": summary.to_json()}, retries=4)
        if finished.status != "done":
            update = {"status": "failed", "error": summary.error or finished.error}
            summary = summary.model_copy(update=update)
    return summary.to_json()


def _copy_tables(
    run_id: str, tables: list[str], limits: JsonDict
) -> Generator[Step, Any, list[TableResult]]:
    """Copies tables side by side, within what the source may be asked for at once."""
    if not tables:
        return []
    at_once = min(limits["parallel_tables"], limits["source_connections"], len(tables))
    parts_at_once = max(1, min(limits["parallel_parts"], limits["source_connections"] // at_once))
    common = {"run_id": run_id, "retries": limits["retries"], "parts": parts_at_once}
    flows = [_copy_one({**common, "table": table}) for table in tables]
    results: list[TableResult] = yield Gather(flows, at_once)
    return results


def _copy_one(arg: JsonDict) -> Generator[Step, Any, TableResult]:
    result: TableResult = yield CopyTable(arg)
    return result


def copy_table(arg: JsonDict) -> Generator[Step, Any, TableResult]:
    """Copies one table: plan, copy the parts, publish, commit. A window that an earlier run left
    pending is finished first, and an incremental table then goes on to what is new.

    Args:
        arg: `run_id`, `table`, `retries` of a step, `parts` to copy at the same time.
    """
    tally = Tally(arg["table"])
    at = {"run_id": arg["run_id"], "table": arg["table"]}
    replanned = False
    while True:
        plan = tally.add((yield from attempt("plan", at, arg["retries"])))
        if plan.status != "done" or plan.value["unchanged"]:
            return tally.result()
        tally.planned(plan.value)
        yield from _carry_out(plan.value, at, arg, tally)
        if tally.failed and plan.value["resumed"] and tally.failed.lasting and not replanned:
            # An older plan failed for what it is, and is dropped: the input may have been mended.
            replanned = True
            tally.forgive()
        elif tally.failed or not plan.value["go_on"]:
            return tally.result()


def _carry_out(
    plan: JsonDict, at: JsonDict, arg: JsonDict, tally: Tally
) -> Generator[Step, Any, None]:
    """Copies the missing parts of a plan, publishes and commits it; stops at what fails."""
    at_plan = {**at, "plan_id": plan["plan_id"]}
    published = plan["published"]
    if plan["missing"] and not published:
        copied = yield from _copy_parts(at_plan, plan["missing"], arg["parts"], arg["retries"])
        for part in copied:
            tally.add(part)
        if tally.failed:
            return
    if not published:
        outcome = tally.add((yield from attempt("publish", at_plan, arg["retries"])))
        if tally.failed:
            return
        published = outcome.value["published"]
    commit = {**at_plan, "published": published}
    tally.add((yield from attempt("commit", commit, arg["retries"])))
    if not tally.failed:
        tally.committed(published)


def _copy_parts(
    at_plan: JsonDict, missing: list[int], limit: int, retries: int
) -> Generator[Step, Any, list[tuple[Outcome, int]]]:
    """Copies the parts that are not staged yet; none is started once one has failed."""
    failed: list[int] = []

    def one(number: int) -> Generator[Step, Any, tuple[Outcome, int] | None]:
        if failed:
            return None
        outcome, tries = yield from attempt("copy_part", {**at_plan, "part": number}, retries)
        if outcome.status != "done":
            failed.append(number)
        return outcome, tries

    done = yield Gather([one(number) for number in missing], limit)
    return [each for each in done if each is not None]


def attempt(step: str, arg: JsonDict, retries: int) -> Generator[Step, Any, tuple[Outcome, int]]:
    """Runs a step, and again after a while as long as it fails for a passing reason.

    Returns:
        The last outcome, and how many times it was tried again.
    """
    tries = 0
    while True:
        outcome: Outcome = yield Call(step, arg)
        if outcome.status != "transient" or tries >= retries:
            return outcome, tries
        yield Wait(backoff(tries, f"{step}{sorted(arg.items())}", outcome.retry_after))
        tries += 1


def backoff(tries: int, seed: str, retry_after: float | None = None) -> float:
    """Seconds to wait before the next try: doubling from 1 to 60, spread by half either way, and
    no less than the server asked for. The spread comes from `seed`, so a replay waits alike.
    """
    spread = int.from_bytes(sha256(f"{seed}{tries}".encode()).digest()[:4], "big") / 2**32
    seconds = min(_LONGEST_WAIT_S, 2.0**tries) * (0.5 + spread)
    return max(seconds, retry_after or 0.0)

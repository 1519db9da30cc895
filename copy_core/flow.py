"""The control flow, once, for every runner.

Each flow is a generator that yields what is to be done next and receives what came of it. It
looks at no clock, draws no random number and does no I/O, so that Durable Functions can replay
it; `runners.local` drives the same generators with threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
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
    receives its `TableResult`, and whether that is recorded already.
    """

    arg: JsonDict


@dataclass(frozen=True)
class Report:
    """Show how far the flow is, where somebody may look; receives None."""

    progress: JsonDict


@dataclass(frozen=True)
class Renew:
    """End this flow and go on with the one of that name, whose result becomes this one's: where
    every step is kept in a history, the history begins anew.
    """

    name: str
    arg: JsonDict


Step = Call | Wait | Gather | CopyTable | Report | Renew
Flow = Generator[Step, Any, Any]

TABLES_A_TURN = 400
PARTS_A_TURN = 200
"""How many a flow handles before it renews itself: what a replay repeats stays short."""

_LONGEST_WAIT_S = 60.0
_LONGEST_ASKED_S = 300.0  # for less than a run keeps its job without a sign of life
_RECORDING = 6
"""Tries again of the steps that record what was done, whatever the job's `retries` say."""


def run_job(run: JsonDict) -> Generator[Step, Any, JsonDict]:
    """Copies the tables of a job and ends with its `RunSummary` as JSON, without its tables.

    Args:
        run: a `RunRequest`; `group`, how many tables one step plans; `turn`, how far an earlier
            flow of the same run came.
    """
    turn = run.get("turn")
    if turn is None:
        begun, _ = yield from attempt("begin", {**run, "turn": None}, retries=4)
        turn = {"begun": begun.to_json(), "next": 0, "done": 0, "failed": 0, "rows_written": 0}
    begun = Outcome.model_validate(turn["begun"])
    if begun.status == "done":
        yield from _copy_tables(run, begun.value, turn)
        if turn["next"] < begun.value["count"]:
            # Thousands of names would not fit a message: the steps look them up.
            renewed: JsonDict = yield Renew("run_job", {**run, "tables": None, "turn": turn})
            return renewed
    summary = summarise(run, begun, [])
    if begun.status != "conflict":
        ended = {
            "run": {**run, "turn": None, "tables": None},
            "begun": {**turn["begun"], "value": {}},
            "count": begun.value.get("count", 0),
            "digest": begun.value.get("digest", ""),
            "lost": turn.get("lost"),
        }
        finished, _ = yield from attempt("finish", ended, _RECORDING)
        if finished.status == "done":
            return finished.value
        update = {"status": "failed", "error": summary.error or finished.error}
        summary = summary.model_copy(update=update)
    return summary.to_json()


def _copy_tables(run: JsonDict, begun: JsonDict, turn: JsonDict) -> Generator[Step, Any, None]:
    """Copies the next tables of a job side by side, within what the source may be asked for."""
    limits, first = begun["limits"], turn["next"]
    last = turn["next"] = min(begun["count"], first + TABLES_A_TURN)
    at_once = max(1, min(limits["parallel_tables"], limits["source_connections"], last - first))
    parts_at_once = max(1, min(limits["parallel_parts"], limits["source_connections"] // at_once))
    common = {"run_id": run["run_id"], "retries": limits["retries"]}
    plan = {**common, "full": run["full"], "digest": begun["digest"]}

    def plan_some(number: int) -> Generator[Step, Any, list[JsonDict]]:
        some = {**plan, "first": number, "count": min(run["group"], last - number)}
        planned, _ = yield from attempt("plan_tables", some, limits["retries"])
        to_copy: list[JsonDict] = planned.value.get("copy", [])
        ended = some["count"] - len(to_copy)
        if planned.status == "done":
            yield from count(done=ended, failed=planned.value["failed"])
        else:
            turn["lost"] = planned.error
        return to_copy

    def copy(table: JsonDict) -> Generator[Step, Any, None]:
        arg = {**common, **table, "full": run["full"], "parts": parts_at_once}
        result, recorded = yield CopyTable(arg)
        if not recorded:
            yield from attempt("record", {**arg, "result": result.to_json()}, _RECORDING)
        failed = int(result.status == "failed")
        yield from count(done=1, failed=failed, rows_written=result.rows_written)

    def plan_and_copy(number: int) -> Generator[Step, Any, None]:
        for table in (yield from plan_some(number)):
            yield from copy(table)

    def count(**more: int) -> Generator[Step, Any, None]:
        for name, some in more.items():
            turn[name] += some
        shown = {name: turn[name] for name in ("done", "failed", "rows_written")}
        yield Report({"tables": begun["count"], **shown})

    if first == last:
        return
    starts = range(first, last, run["group"])
    if run["group"] == 1:
        yield Gather([plan_and_copy(number) for number in starts], at_once)
        return
    # Most tables of a large job have nothing new: those are planned many to a step.
    planned = yield Gather([plan_some(number) for number in starts], at_once)
    if found := [table for some in planned for table in some]:
        yield Gather([copy(table) for table in found], at_once)


def copy_table(arg: JsonDict) -> Generator[Step, Any, TableResult]:
    """Copies one table: plan, copy the parts, publish, commit. A window that an earlier run left
    pending is finished first, and an incremental table then goes on to what is new.

    Args:
        arg: `run_id`, `number` and name of the `table`, whether it is copied in `full`, `retries`
            of a step, `parts` to copy at the same time; `plan`, the outcome of a plan step that was
            made already; `turn`, how far an earlier flow of the same table came.
    """
    turn = arg.get("turn")
    tally = Tally.of(turn["tally"]) if turn else Tally(arg["table"])
    first = None if turn else arg.get("plan")
    replanned = bool(turn and turn["replanned"])
    at = {"run_id": arg["run_id"], "table": arg["table"]}
    while True:
        if turn:
            plan, turn = turn["plan"], None
        else:
            if first is None:
                plan_arg = {**at, "full": arg["full"]}
                tried = yield from attempt("plan", plan_arg, arg["retries"])
            else:
                tried = Outcome.model_validate(first), 0
            outcome = tally.add(tried)
            if first is not None:
                tally.pause()
            first = None
            if outcome.status != "done" or outcome.value["unchanged"]:
                break
            plan = outcome.value
            tally.planned(plan)
        if rest := (yield from _carry_out(plan, at, arg, tally)):
            again = {"plan": {**plan, "missing": rest}, "tally": tally.to_json()}
            more = {**again, "replanned": replanned}
            renewed: TableResult = yield Renew("copy_table", {**arg, "turn": more})
            return renewed
        if tally.failed and plan["resumed"] and tally.failed.lasting and not replanned:
            # An older plan failed for what it is, and is dropped: the input may have been mended.
            replanned = True
            tally.forgive()
        elif tally.failed or not plan["go_on"]:
            break
    result = tally.result()
    record = {**at, "number": arg["number"], "result": result.to_json()}
    yield from attempt("record", record, _RECORDING)
    return result


def _carry_out(
    plan: JsonDict, at: JsonDict, arg: JsonDict, tally: Tally
) -> Generator[Step, Any, Spans]:
    """Copies the missing parts of a plan, publishes and commits it; stops at what fails.

    Returns:
        The parts that are left for another turn.
    """
    at_plan = {**at, "plan_id": plan["plan_id"]}
    published, rejected = plan["published"], plan.get("rejected", 0)
    if plan["missing"] and not published:
        now, rest = _first(plan["missing"], PARTS_A_TURN)
        copied = yield from _copy_parts(at_plan, now, arg["parts"], arg["retries"])
        for part in copied:
            tally.add(part)
        yield Report(tally.progress(plan["parts"]))
        if tally.failed or rest:
            return [] if tally.failed else rest
    if not published:
        outcome = tally.add((yield from attempt("publish", at_plan, arg["retries"])))
        if tally.failed:
            return []
        published, rejected = outcome.value["published"], outcome.value.get("rejected", 0)
    commit = {**at_plan, "published": published}
    tally.add((yield from attempt("commit", commit, arg["retries"])))
    if not tally.failed:
        tally.committed(published, rejected)
    return []


Spans = list[list[int]]
"""Numbers in order, as [first, after the last] of each row of neighbours: short, however many."""


def _first(spans: Spans, limit: int) -> tuple[list[int], Spans]:
    """The first numbers of some spans, and the spans of the rest."""
    now: list[int] = []
    rest: Spans = []
    for start, stop in spans:
        upto = min(stop, start + limit - len(now))
        now += range(start, upto)
        if upto < stop:
            rest.append([upto, stop])
    return now, rest


def spans(numbers: Sequence[int]) -> Spans:
    """Numbers in order as spans."""
    found: Spans = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return found


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


FLOWS: dict[str, Callable[[JsonDict], Flow]] = {"run_job": run_job, "copy_table": copy_table}
"""The flows that may be renewed, by name."""


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
    no less than the server asked for, up to five minutes. The spread comes from `seed`, so a
    replay waits alike.
    """
    spread = int.from_bytes(sha256(f"{seed}{tries}".encode()).digest()[:4], "big") / 2**32
    seconds = min(_LONGEST_WAIT_S, 2.0**tries) * (0.5 + spread)
    return max(seconds, min(retry_after or 0.0, _LONGEST_ASKED_S))

"""Adds up what steps report: to a table's result, and to the run's summary. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from copy_core.model import JsonDict, Outcome, RunStatus, RunSummary, TableResult


class Tally:
    """What is known so far of one table in a run."""

    def __init__(self, table: str) -> None:
        self._fields: JsonDict = {"source": table, "destination": table, "status": "unchanged"}
        self._counts = dict.fromkeys(
            ("rows_read", "rows_written", "rows_skipped_null", "rows_rejected", "files_read",
             "files_written", "bytes_read", "bytes_written", "parts", "retries"),
            0,
        )  # fmt: skip
        self._started: float | None = None
        self._ended = 0.0
        self.failed: Outcome | None = None
        self._parts_done = 0
        self._earlier = 0.0
        self._objects = False

    @classmethod
    def of(cls, known: JsonDict) -> Tally:
        """The tally that `to_json` was called on; never one that failed."""
        tally = cls(known["fields"]["source"])
        tally._fields = dict(known["fields"])
        tally._counts |= known["counts"]
        tally._started, tally._ended = known["started"], known["ended"]
        tally._parts_done, tally._earlier = known["parts_done"], known["earlier"]
        tally._objects = known.get("objects", False)
        return tally

    @classmethod
    def after(cls, table: str, outcome: Outcome) -> TableResult:
        """The result of a table that ended with its plan."""
        tally = cls(table)
        tally.add((outcome, 0))
        return tally.result()

    def to_json(self) -> JsonDict:
        return {
            "fields": dict(self._fields),
            "counts": dict(self._counts),
            "started": self._started,
            "ended": self._ended,
            "parts_done": self._parts_done,
            "earlier": self._earlier,
            "objects": self._objects,
        }

    def pause(self) -> None:
        """What comes now comes later: the time until then does not count as the table's."""
        self._earlier += max(0.0, self._ended - (self._started or 0.0))
        self._started = None

    def progress(self, parts: int) -> JsonDict:
        """What can be shown while the table is copied.

        Args:
            parts: how many parts the plan has.
        """
        shown = ("rows_read", "bytes_read", "retries")
        counts = {name: self._counts[name] for name in shown}
        return {"table": self._fields["source"], "parts": parts, "done": self._parts_done, **counts}

    def add(self, tried: tuple[Outcome, int]) -> Outcome:
        """Takes in a step's last outcome and how often it was tried again."""
        outcome, retries = tried
        self._counts["retries"] += retries
        if self._started is None:
            self._started = outcome.started
        self._ended = max(self._ended, outcome.ended)
        if outcome.status != "done":
            if self.failed is None or self.failed.status == "cancelled":
                self.failed = outcome
            return outcome
        self._parts_done += "rows_read" in outcome.value
        for name in self._counts:
            self._counts[name] += outcome.value.get(name, 0)
        if "destination" in outcome.value:
            self._fields["destination"] = outcome.value["destination"]
        return outcome

    def forgive(self) -> None:
        """Forgets what failed: it is planned anew."""
        self.failed = None

    def planned(self, plan: JsonDict) -> None:
        """Takes in a plan: the first one tells the load type and the lower bound."""
        if plan["load_type"] == "full" and "load_type" in self._fields:
            # The whole table once more, in place of what an earlier run had left unfinished.
            kept = {name: self._counts[name] for name in ("parts", "retries")}
            self._counts = dict.fromkeys(self._counts, 0) | kept | {"parts": plan["parts"]}
        self._fields.setdefault("load_type", plan["load_type"])
        self._fields.setdefault("lower_bound", plan["lower_bound"])
        self._fields["upper_bound"] = plan["upper_bound"]
        self._objects = plan.get("objects", False)
        self._fields["resumed"] = self._fields.get("resumed", False) or plan["resumed"]

    def committed(self, published: JsonDict, rejected: int) -> None:
        """Takes in a commit: only now do rows count as written, and as rejected; objects are
        files, not rows.
        """
        self._fields["status"] = "copied"
        self._counts["rows_rejected"] += rejected
        for name in ("files", "bytes") if self._objects else ("rows", "files", "bytes"):
            self._counts[f"{name}_written"] += published[name]

    def result(self) -> TableResult:
        """The table's result as it stands."""
        status: Literal["copied", "unchanged", "failed", "cancelled"] = self._fields["status"]
        error = None
        if self.failed is not None:
            status = "cancelled" if self.failed.status == "cancelled" else "failed"
            error = self.failed.error
        now = 0.0 if self._started is None else max(0.0, self._ended - self._started)
        seconds = self._earlier + now
        rate = self._counts["rows_written"] / seconds if seconds else 0.0
        return TableResult(
            **self._fields
            | self._counts
            | {
                "status": status,
                "error": error,
                "duration_s": round(seconds, 3),
                "rows_per_s": round(rate, 1),
                "ended_at": _iso(self._ended),
            }
        )


def lost(table: str, error: JsonDict) -> TableResult:
    """The result of a table whose flow itself broke off."""
    return TableResult(source=table, destination=table, status="failed", error=error)


def summarise(run: JsonDict, begun: Outcome, results: list[TableResult]) -> RunSummary:
    """The run's summary, from how it began and what became of its tables."""
    statuses = {result.status for result in results}
    status: RunStatus = "succeeded"
    if begun.status == "conflict":
        status = "conflict"
    elif "cancelled" in statuses or begun.status == "cancelled":
        status = "cancelled"
    elif "failed" in statuses or begun.status != "done":
        status = "failed"
    return RunSummary(
        run_id=run["run_id"],
        job=run["job"],
        trigger=run["trigger"],
        status=status,
        started_at=_iso(begun.started),
        ended_at=max([_iso(begun.ended), *(result.ended_at for result in results)]),
        tables=tuple(results),
        error=begun.error,
    )


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")

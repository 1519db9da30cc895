"""What travels between steps, states and summaries: ids, counts, bounds, references. Never rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from copy_core.job import Condition, WriteMode
from copy_core.watermark import EVERYTHING, Watermark, Window

JsonDict = dict[str, Any]


class Record(BaseModel):
    """Base: immutable, JSON both ways (`model_dump(mode="json")`, `model_validate`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> JsonDict:
        return self.model_dump(mode="json")


class Slice(Record):
    """The rows of one part, as a source is asked for them.

    Attributes:
        object: the table's name at the source.
        columns: the columns to read, in this order, by their names at the source.
        window: the watermark window that every part of a sequence shares.
        filter: conditions that a row must meet as well.
        range: the connector's own description of the part; None reads the whole window.
        snapshot: the source's version that was pinned at plan time, where it has versions.
        query: the query whose rows these are; "" when `object` is a table.
        include: patterns of which an object's path below `object` must meet one; all if none.
        exclude: patterns of which it may meet none.
        again: whether rows that were copied before may come again, which an upsert replaces.
    """

    object: str
    columns: tuple[str, ...]
    window: Window = EVERYTHING
    filter: tuple[Condition, ...] = ()
    range: JsonDict | None = None
    snapshot: str | None = None
    query: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    again: bool = False


class Target(Record):
    """Where one sequence of a table goes, and how.

    Attributes:
        job: the job's name.
        table: the table's name in the job: its source object.
        object: the table's name at the destination.
        sequence: the number of the commit, from 1, without gaps, for (job, table).
        write: the write mode.
        columns: name, type name and "null" or "not null" of each mapped column.
        keys: the key columns at the destination, for upsert.
        order_by: the column at the destination that tells the newest row of a key; "" if none.
        drift: the drift policy.
        truncate: whether an upsert first removes every row that is there.
        lengths: how long the values of a column of text or bytes may be, as in `TableInfo`.
        pre_copy_sql: statements to run in the publishing transaction, before rows become visible.
        post_copy_sql: likewise, after that.
        partition_by: the columns whose values become folders.
        objects: whether whole objects are copied, and counted, not rows.
        flatten: whether objects lose the folders they were in.
        delete_source: whether they go from the source once they are committed.
    """

    job: str
    table: str
    object: str
    sequence: int
    write: WriteMode
    columns: tuple[tuple[str, str, str], ...]
    keys: tuple[str, ...] = ()
    order_by: str = ""
    drift: Literal["evolve", "ignore", "fail"] = "evolve"
    truncate: bool = False
    lengths: dict[str, int] = {}
    pre_copy_sql: tuple[str, ...] = ()
    post_copy_sql: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    objects: bool = False
    flatten: bool = False
    delete_source: bool = False


class Staged(Record):
    """A part that waits at the destination, invisible to readers, to be published.

    Attributes:
        part: the part's number, from 0.
        rows: how many rows were staged, counted by the destination from what it wrote.
        bytes: their size there.
        ref: the connector's own reference to them: a table or files.
    """

    part: int
    rows: int
    bytes: int = 0
    ref: JsonDict = {}


class Commit(Record):
    """All that a destination needs to publish a sequence, and to remember that it did.

    Attributes:
        target: where to.
        watermark: what the source's watermark becomes with this commit.
        staged: every part of the sequence.
        plan_id: the plan that the parts belong to.
        column: the incremental column at the source; "" for full copies.
    """

    target: Target
    watermark: Watermark | None
    staged: tuple[Staged, ...]
    plan_id: str = ""
    column: str = ""

    @property
    def rows(self) -> int:
        """How many rows are staged."""
        return sum(part.rows for part in self.staged)

    def published(self, **counts: int) -> Published:
        """The ledger's record of this commit.

        Args:
            **counts: `rows`, `superseded`, `files` and `bytes`, as in `Published`.
        """
        return Published.model_validate(
            {
                "sequence": self.target.sequence,
                "watermark": self.watermark,
                "plan_id": self.plan_id,
                "column": self.column,
                **counts,
            }
        )


class Published(Record):
    """The ledger's record of a sequence that was published.

    Attributes:
        sequence: its number.
        watermark: the source's watermark with it.
        rows: rows that were made visible.
        superseded: staged rows that an upsert left out, because a newer row of the same key was
            in the same window.
        files: files that were made visible; 0 where rows are not kept in files.
        bytes: their size.
        plan_id: the plan that was published: of two plans of one sequence only one can be.
        column: the incremental column that `watermark` is a value of; "" for full copies. A ledger
            that outlives the state must tell which column it speaks of.
    """

    sequence: int
    watermark: Watermark | None
    rows: int
    superseded: int = 0
    files: int = 0
    bytes: int = 0
    plan_id: str = ""
    column: str = ""


Status = Literal["done", "config", "terminal", "transient", "conflict", "cancelled"]


class Outcome(Record):
    """What a step returns; exceptions do not cross the control flow.

    Attributes:
        status: `done`, or the recovery class of the error.
        value: the step's result; empty when it failed.
        error: the error as `CopyJobError.to_json` gives it; None when done.
        retry_after: seconds that a service asked to wait for.
        started: when the step began, epoch seconds; the flow itself never looks at a clock.
        ended: when it ended.
    """

    status: Status
    value: JsonDict = {}
    error: JsonDict | None = None
    retry_after: float | None = None
    started: float = 0.0
    ended: float = 0.0

    @property
    def lasting(self) -> bool:
        """Whether it failed for what the data or the definition is: again gives the same."""
        return self.status in ("config", "terminal")


class TableResult(Record):
    """What became of one table in a run; the `tables` entries of a run's JSON.

    What was read is counted as it is read. What was written, and the rows that were left out
    because they are no rows of the table (`rows_rejected`), are counted as they are committed: by
    one run, whichever run read them.
    """

    source: str
    destination: str
    status: Literal["copied", "unchanged", "failed", "cancelled"]
    load_type: Literal["full", "incremental", "unknown"] = "unknown"
    rows_read: int = 0
    rows_written: int = 0
    rows_skipped_null: int = 0
    rows_rejected: int = 0
    files_read: int = 0
    files_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    lower_bound: str | None = None
    upper_bound: str | None = None
    parts: int = 0
    retries: int = 0
    resumed: bool = False
    duration_s: float = 0.0
    rows_per_s: float = 0.0
    ended_at: str = ""
    error: JsonDict | None = None


class RunRequest(Record):
    """A run that somebody asks for.

    Attributes:
        run_id: its name; one who asks twice gives the same, and starts one run.
        job: the job.
        trigger: what started it: `manual`, `http`, `schedule`, `event`, `resume`.
        tables: the tables to copy, by their names at the source; all when None.
        full: whether to copy them anew: the watermark is forgotten, and the first commit replaces
            what is at the destination.
    """

    run_id: str
    job: str
    trigger: str = "manual"
    tables: tuple[str, ...] | None = None
    full: bool = False


RunStatus = Literal[
    "running", "succeeded", "failed", "cancelled", "conflict", "skipped", "interrupted"
]


class RunSummary(Record):
    """A run's record, as it is printed, stored and shown."""

    run_id: str
    job: str
    trigger: str = "manual"
    status: RunStatus
    started_at: str
    ended_at: str
    tables: tuple[TableResult, ...] = ()
    error: JsonDict | None = None

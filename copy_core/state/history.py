"""Run records: listed newest first in pages, over all jobs or one; each with its tables.

A run has a partition of its own with its header and a row for each table, since one row could not
hold thousands of them. Its header stands once more in the list of all runs and in its job's list,
under a key that counts time backwards: stores list in ascending order only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from copy_core.model import JsonDict, Record, RunSummary, TableResult
from copy_core.state.base import StateStore
from copy_core.state.encoding import parse

_ALL = "runs/"
_HEADER = "header"
_TABLES = "table/"
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class RunHeader(Record):
    """A run without its tables, as lists show it. Attributes as in `RunSummary`, and sums.

    Attributes:
        tables: how many tables it had.
        failed: how many of them failed.
        rows_read: rows read, over all tables.
        rows_written: rows written, over all tables.
        bytes_written: bytes written, over all tables.
    """

    run_id: str
    job: str
    trigger: str
    status: str
    started_at: str
    ended_at: str
    error: JsonDict | None
    tables: int
    failed: int
    rows_read: int
    rows_written: int
    bytes_written: int

    @classmethod
    def of(cls, summary: RunSummary) -> Self:
        """The header of a run."""
        tables = summary.tables
        return cls(
            **summary.model_dump(exclude={"tables"}),
            tables=len(tables),
            failed=sum(t.status == "failed" for t in tables),
            rows_read=sum(t.rows_read for t in tables),
            rows_written=sum(t.rows_written for t in tables),
            bytes_written=sum(t.bytes_written for t in tables),
        )


class Page(NamedTuple):
    """Some runs, newest first.

    Attributes:
        runs: their headers.
        next: what to give as `before` for the page of older runs; None when there is none.
    """

    runs: tuple[RunHeader, ...]
    next: str | None


def record(store: StateStore, summary: RunSummary) -> None:
    """Keeps a run's record; one of the same run id is replaced.

    The tables are written first and the lists last: a run that is listed can be read.
    """
    own, header = _own(summary.run_id), RunHeader.of(summary)
    earlier = _header(store, summary.run_id)
    tables = {f"{_TABLES}{n:06d}": t.to_json() for n, t in enumerate(summary.tables)}
    store.put_many(own, tables)
    for row in store.list(own, _TABLES, after=max(tables, default="")) if earlier else ():
        store.delete(own, row.key)
    store.put(own, _HEADER, header.to_json())
    for partition in (_ALL, _of_job(header.job)):
        store.put(partition, _newest_first(header), header.to_json())
    if earlier and _newest_first(earlier) != _newest_first(header):
        for partition in (_ALL, _of_job(earlier.job)):
            store.delete(partition, _newest_first(earlier))


def runs(
    store: StateStore, job: str | None = None, limit: int = 20, before: str | None = None
) -> Page:
    """A page of runs, newest start first.

    Args:
        store: where the records are.
        job: whose runs; all jobs' when None.
        limit: how many.
        before: `Page.next` of the page before this one; the newest runs when None.
    """
    partition = _ALL if job is None else _of_job(job)
    rows = store.list(partition, after=before or "", limit=limit + 1)
    headers = tuple(parse(RunHeader, row, store, partition) for row in rows[:limit])
    return Page(headers, rows[limit - 1].key if len(rows) > limit else None)


def run(store: StateStore, run_id: str) -> RunSummary | None:
    """A run with its tables; None when there is no record of it."""
    header = _header(store, run_id)
    if header is None:
        return None
    rows = store.list(_own(run_id), _TABLES, limit=header.tables)
    shared = header.model_dump(include=set(RunSummary.model_fields) - {"tables"})
    tables = tuple(parse(TableResult, row, store, _own(run_id)) for row in rows)
    return RunSummary(**shared, tables=tables)


def _header(store: StateStore, run_id: str) -> RunHeader | None:
    row = store.get(_own(run_id), _HEADER)
    return parse(RunHeader, row, store, _own(run_id)) if row else None


# A job's name holds no slash, so these partitions are nobody else's.
def _own(run_id: str) -> str:
    return f"run/{run_id}"


def _of_job(job: str) -> str:
    return f"{_ALL}{job}"


def _newest_first(header: RunHeader) -> str:
    started = datetime.fromisoformat(header.started_at)
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return f"{(_END - started) // timedelta(microseconds=1):018d}/{header.run_id}"

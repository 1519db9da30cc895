"""Run records: listed newest first in pages, over all jobs or one; each with its tables.

A run has a partition of its own with its header and a row for each table, since one row could not
hold thousands of them. Its header stands once more in the list of all runs and in its job's list,
under a key that counts time backwards: stores list in ascending order only.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from copy_core.errors import ConflictError
from copy_core.model import JsonDict, Record, RunRequest, RunStatus, RunSummary, TableResult
from copy_core.state import lease
from copy_core.state.base import ABSENT, ANY, StateStore
from copy_core.state.encoding import parse

ALL = "runs/"
_HEADER = "header"
_ASKED = "asked"
_TABLES = "table/"
NEVER_BEGAN = ("skipped", "conflict")
"""The statuses of runs that did not begin, since their job was being run."""
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class RunHeader(Record):
    """A run without its tables, as lists show it. Attributes as in `RunSummary`, and sums.

    Attributes:
        tables: how many tables it has.
        failed: how many of them failed.
        rows_read: rows read, over all tables.
        rows_written: rows written, over all tables.
        files_written: files written, over all tables: of rows, or copied as they are.
        bytes_written: bytes written, over all tables.
    """

    run_id: str
    job: str
    trigger: str
    status: RunStatus
    started_at: str
    ended_at: str
    error: JsonDict | None
    tables: int
    failed: int
    rows_read: int
    rows_written: int
    files_written: int = 0  # Records of earlier versions have none.
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
            files_written=sum(t.files_written for t in tables),
            bytes_written=sum(t.bytes_written for t in tables),
        )


class Asked(Record):
    """A run that was asked for.

    Attributes:
        request: what for.
        at: when, in UTC.
    """

    request: RunRequest
    at: str


class Page(NamedTuple):
    """Some runs, newest first.

    Attributes:
        runs: their headers.
        next: what to give as `before` for the page of older runs; None when there is none.
    """

    runs: tuple[RunHeader, ...]
    next: str | None


def ask(store: StateStore, request: RunRequest, now: datetime, expect: str = ANY) -> None:
    """Keeps what a run is asked for, so that it can be resumed as it was meant.

    Args:
        store: where the records are.
        request: the run.
        now: when it is asked for.
        expect: `ABSENT` if nobody may have asked for a run of this id before.

    Raises:
        ConflictError: somebody has.
    """
    row = Asked(request=request, at=_iso(now))
    store.put(own(request.run_id), _ASKED, row.to_json(), expect)


def asked(store: StateStore, run_id: str) -> Asked | None:
    """What a run was asked for; None when there was no such run."""
    row = store.get(own(run_id), _ASKED)
    return parse(Asked, row, store, own(run_id)) if row else None


def whole(store: StateStore, run_id: str) -> bool:
    """Whether a run was asked for all tables of its job."""
    found = asked(store, run_id)
    return found is not None and found.request.tables is None


def forget_asked(store: StateStore, run_id: str) -> None:
    """Forgets what a run was asked for, if it has not begun."""
    row = store.get(own(run_id), _ASKED)
    if row is not None and _header(store, run_id) is None:
        with suppress(ConflictError):  # it was asked for again, or begins at this moment
            store.delete(own(run_id), _ASKED, row.etag)


def begin(store: StateStore, request: RunRequest, count: int, now: datetime) -> None:
    """Lists a run that begins; doing so again changes nothing.

    Args:
        store: where the records are.
        request: the run.
        count: how many tables it has.
        now: when it begins.

    Raises:
        ConflictError: a run of this id has ended already.
    """
    earlier, etag = refuse_ended(store, request)
    header = RunHeader(
        **request.model_dump(include={"run_id", "job", "trigger"}),
        status="running",
        started_at=earlier.started_at if earlier else _iso(now),
        ended_at="",
        error=None,
        tables=count,
        failed=0,
        rows_read=0,
        rows_written=0,
        bytes_written=0,
    )
    try:
        store.put(own(header.run_id), _HEADER, header.to_json(), etag)
    except ConflictError:  # it began or ended elsewhere at this moment
        begin(store, request, count, now)
        return
    # After its header, for which `forget_asked` looks; before the lists, since what is listed can
    # be read.
    ask(store, request, now)
    for partition in (ALL, of_job(header.job)):
        with suppress(ConflictError):  # it was listed before, and may have ended since
            store.put(partition, _newest_first(header), header.to_json(), ABSENT)


def refuse_ended(store: StateStore, request: RunRequest) -> tuple[RunHeader | None, str]:
    """What is known of a run that is about to begin, None when it never began; and its etag.

    Raises:
        ConflictError: a run of this id has ended already.
    """
    earlier, etag = _look(store, request.run_id)
    if earlier and earlier.status != "running":
        raise ConflictError(
            f"run {request.run_id} has ended already, on {earlier.ended_at}",
            fix="Start another run, under another id",
            code="run-ended",
            job=request.job,
        )
    return earlier, etag


def record_tables(store: StateStore, run_id: str, results: Mapping[int, TableResult]) -> None:
    """Keeps what became of tables of a run, by their numbers in it."""
    store.put_many(own(run_id), {_table(n): r.to_json() for n, r in results.items()})


def tables(
    store: StateStore, run_id: str, first: int = 0, count: int | None = None
) -> dict[int, TableResult]:
    """What became of the tables of a run so far, by their numbers in it.

    Args:
        store: where the records are.
        run_id: the run.
        first: the number to begin at.
        count: how many numbers from there; all when None.
    """
    after = _table(first - 1) if first else ""
    rows = store.list(own(run_id), _TABLES, after=after, limit=count)
    found = {
        int(row.key.removeprefix(_TABLES)): parse(TableResult, row, store, own(run_id))
        for row in rows
    }
    return {n: result for n, result in found.items() if count is None or n < first + count}


def end(store: StateStore, summary: RunSummary) -> RunSummary:
    """Lists a run as ended; its tables must be recorded already.

    Returns:
        The summary as it is kept: it began when it was listed, and one that has ended stays.
    """
    earlier, etag = _look(store, summary.run_id)
    if earlier and earlier.status != "running":
        _list(store, earlier)  # whoever ended it may not have come so far
        return run(store, summary.run_id) or summary
    try:
        return _end(store, summary, earlier, etag)
    except ConflictError:  # it began or ended elsewhere at this moment
        return end(store, summary)


def _end(
    store: StateStore, summary: RunSummary, earlier: RunHeader | None, expect: str = ANY
) -> RunSummary:
    if earlier:
        summary = summary.model_copy(update={"started_at": earlier.started_at})
    header = RunHeader.of(summary)
    store.put(own(header.run_id), _HEADER, header.to_json(), expect)
    # The lists last: a run that is listed can be read.
    _list(store, header)
    return summary


def record(store: StateStore, summary: RunSummary) -> None:
    """Keeps a whole run at once; one of the same run id is replaced."""
    store.delete_prefix(own(summary.run_id), _TABLES)
    record_tables(store, summary.run_id, dict(enumerate(summary.tables)))
    _end(store, summary, _header(store, summary.run_id))


def _list(store: StateStore, header: RunHeader) -> None:
    for partition in (ALL, of_job(header.job)):
        store.put(partition, _newest_first(header), header.to_json())


def now(store: StateStore, header: RunHeader) -> RunHeader:
    """A run as it is now: one that is listed as running, but has lost its job, was interrupted."""
    if header.status != "running" or _holds(store, header):
        return header
    # It may have ended between the two looks: a run records its end before it lets go.
    again = _header(store, header.run_id) or header
    interrupted = {"status": "interrupted"}
    return again.model_copy(update=interrupted) if again.status == "running" else again


def _holds(store: StateStore, header: RunHeader) -> bool:
    held = lease.holder_of(store, header.job)
    return held is not None and held.run_id == header.run_id


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
    partition = ALL if job is None else of_job(job)
    rows = store.list(partition, after=before or "", limit=limit + 1)
    headers = tuple(parse(RunHeader, row, store, partition) for row in rows[:limit])
    return Page(headers, rows[limit - 1].key if len(rows) > limit else None)


def run(store: StateStore, run_id: str) -> RunSummary | None:
    """A run with its tables; None when there is no record of it."""
    header = _header(store, run_id)
    if header is None:
        return None
    shared = header.model_dump(include=set(RunSummary.model_fields) - {"tables"})
    found = tables(store, run_id)
    return RunSummary(**shared, tables=tuple(found[number] for number in sorted(found)))


def ended(store: StateStore, run_id: str) -> bool:
    """Whether a run's end is recorded: it does nothing any more."""
    header = _header(store, run_id)
    return header is not None and header.status != "running"


def _header(store: StateStore, run_id: str) -> RunHeader | None:
    return _look(store, run_id)[0]


def _look(store: StateStore, run_id: str) -> tuple[RunHeader | None, str]:
    row = store.get(own(run_id), _HEADER)
    return (parse(RunHeader, row, store, own(run_id)), row.etag) if row else (None, ABSENT)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _table(number: int) -> str:
    return f"{_TABLES}{number:06d}"


# A job's name holds no slash, so these partitions are nobody else's.
def own(run_id: str) -> str:
    return f"run/{run_id}"


def of_job(job: str) -> str:
    return f"{ALL}{job}"


def _newest_first(header: RunHeader) -> str:
    started = datetime.fromisoformat(header.started_at)
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return f"{(END - started) // timedelta(microseconds=1):018d}/{header.run_id}"

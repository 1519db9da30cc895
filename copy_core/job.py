"""What a copy job is: as a file says it, and with every setting decided."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from copy_core.watermark import Amount, NullPolicy, parse_amount

Mode = Literal["full", "incremental"]
WriteMode = Literal["append", "upsert", "overwrite", "overwrite_partitions"]
Drift = Literal["evolve", "ignore", "fail"]
AuditValue = Literal[
    "run_id",
    "job",
    "table",
    "extracted_at",
    "lower_bound",
    "upper_bound",
    "file_path",
    "file_modified",
]
Overlap = Literal["skip", "queue"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is null", "is not null"]
Scalar = str | int | float | bool

FILE_PATH = "_file_path"
"""The hidden column that holds the path of a row's file, below the connection's root."""
FILE_MODIFIED = "_file_modified"
"""The hidden column that holds when a row's file, or an object, was last changed."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Statement = Annotated[str, Field(min_length=1, max_length=100_000)]
JOB_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
JobName = Annotated[str, Field(pattern=JOB_NAME)]


def _amount(written: str | int | timedelta) -> Amount:
    return written if isinstance(written, timedelta) else parse_amount(written)


def _amount_text(amount: Amount) -> str | int:
    return amount if isinstance(amount, int) else f"{int(amount.total_seconds())}s"


Span = Annotated[
    Amount,
    PlainValidator(_amount),
    PlainSerializer(_amount_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*(\d+|(\d+\s*[smhdwSMHDW]\s*)+)\s*$"},
            ]
        }
    ),
]


def _watched(pattern: str) -> str:
    """A pattern that some object may meet; a wrong one would wait for ever without a word."""
    scheme, found, rest = pattern.partition("://")
    path = (rest if found else pattern).split("/")
    if found and scheme not in ("https", "s3"):
        raise ValueError(
            "no such scheme; write container/path, s3://bucket/path"
            " or https://ACCOUNT.blob.core.windows.net/container/path"
        )
    if found and ("?" in rest or ".dfs." in path[0]):
        raise ValueError("is no address of a blob; write https://ACCOUNT.blob.core.windows.net/...")
    if any("**" in level and level != "**" for level in path):
        raise ValueError("has `**` beside other text; write it alone, such as in/**/*.csv")
    levels = path[1:] if scheme == "https" and found else path
    if "" in path or (len(levels) < 2 and "**" not in path):
        raise ValueError("names no path within a container; write container/path, such as in/*.csv")
    return pattern


Watched = Annotated[Name, AfterValidator(_watched)]


class Definition(BaseModel):
    """Base of everything a file may define: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Column(Definition):
    """One column to copy."""

    name: Name
    """Its name at the source."""
    rename: Name | None = None
    """Its name at the destination; the same when left out."""
    cast: str | None = None
    """Its type at the destination, such as int64, decimal(18,2), timestamp or string."""


class Condition(Definition):
    """One condition that a row must meet; several are joined by AND."""

    column: Name
    """The column at the source."""
    op: Operator = "="
    """How the column compares with the value."""
    value: Scalar | list[Scalar] | None = None
    """What it is compared with: a list for `in`, nothing for `is null` and `is not null`."""


class Schedule(Definition):
    """When the job starts by itself."""

    cron: Name
    """Five-field cron or six-field NCRONTAB (seconds first)."""
    timezone: Name = "UTC"
    """IANA name of the zone in which the cron expression is read."""
    start: Name | None = None
    """The date or time from which it holds; in the zone, unless the time says its offset."""
    end: Name | None = None
    """The date (with the whole of that day) or the time up to which it holds."""
    overlap: Overlap = "skip"
    """While the job is being run: `skip` records that and starts nothing, `queue` runs it after."""


class Limits(Definition):
    """How much of the machine and of the source a run may take."""

    parallel_tables: Annotated[int, Field(ge=1, le=256)] = 4
    """Tables copied at the same time."""
    parallel_parts: Annotated[int, Field(ge=1, le=256)] = 4
    """Parts of one table copied at the same time."""
    source_connections: Annotated[int, Field(ge=1, le=1024)] = 8
    """Parts read from the source at the same time, over all tables."""
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 65_536
    """Rows held in memory at a time by one part."""
    retries: Annotated[int, Field(ge=0, le=20)] = 4
    """How often a step that failed for a passing reason is tried again."""


class Constant(Definition):
    """A fixed text to fill an audit column with."""

    value: str
    """The text."""


class Settings(Definition):
    """What holds for a table; written at the job, it holds for all tables that do not say else."""

    mode: Mode | None = None
    """`full` copies every row in each run, `incremental` only those above the watermark."""
    write: WriteMode | None = None
    """`append` adds rows, `upsert` replaces rows of the same key, `overwrite` replaces all,
    `overwrite_partitions` all of each partition for which a row arrives."""
    incremental_column: Name | None = None
    """The column whose value grows with every change."""
    keys: list[Name] | None = None
    """The columns that identify a row, by their names at the source."""
    drift: Drift | None = None
    """What a new source column does: `evolve` adds it, `ignore` leaves it out, `fail` stops."""
    nulls: NullPolicy | None = None
    """Rows without a value in the incremental column: after the first load, `skip` counts them."""
    lookback: Span | None = None
    """How much below the watermark is read again, for rows committed late; needs upsert."""
    delay: Span | None = None
    """How far below the newest value a run stops, for rows committed late."""
    parts: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Into how many parts a table is split; by its size when left out."""
    audit: dict[Name, AuditValue | Constant] | None = None
    """Columns to add: a name and what fills it."""
    partition_by: list[Name] | None = None
    """Columns at the destination whose values become folders such as `year=2026` there."""
    include: list[Name] | None = None
    """Patterns of files to copy, below `source`: `*` within a level, `**` for any levels."""
    exclude: list[Name] | None = None
    """Patterns of files to leave out."""
    hierarchy: Literal["preserve", "flatten"] | None = None
    """Whether files that are copied as they are keep the folders they are in."""
    delete_source: bool | None = None
    """Whether files that are copied as they are go from the source once they are committed."""


class TableEntry(Settings):
    """One table (or folder of files) to copy."""

    source: Name
    """Its name at the source."""
    query: Statement | None = None
    """A query in the source's language whose rows are copied; `source` is then just its name."""
    destination: Name | None = None
    """Its name at the destination; the same when left out."""
    columns: list[Name | Column] | None = None
    """The columns to copy; all when left out."""
    filter: list[Condition] = []
    """Conditions that a row must meet to be copied."""
    pre_copy_sql: list[Statement] = []
    """Statements that the destination runs before the rows appear, in the same transaction."""
    post_copy_sql: list[Statement] = []
    """Statements that the destination runs after the rows appear, in the same transaction."""


class JobFile(Settings):
    """A copy job as it is written down."""

    name: JobName
    """What the job is called, in commands, states and summaries."""
    source: Name
    """The connection to read from."""
    destination: Name
    """The connection to write to."""
    tables: Annotated[list[TableEntry], Field(min_length=1)]
    """What to copy."""
    schedules: list[Schedule] = []
    """When the job starts by itself."""
    watch: list[Watched] = []
    """Files whose arrival starts the job: `container/path`, `s3://...` or `https://...`, with `*`
    for anything within a level and `**` for any levels."""
    limits: Limits = Limits()
    """How much a run may take."""


class TableCopy(Definition):
    """One table to copy, with every setting decided. Attributes as in `Settings`."""

    source: str
    destination: str
    mode: Mode
    write: WriteMode
    incremental_column: str | None
    keys: tuple[str, ...]
    columns: tuple[Column, ...] | None
    filter: tuple[Condition, ...]
    query: str = ""
    pre_copy_sql: tuple[str, ...] = ()
    post_copy_sql: tuple[str, ...] = ()
    drift: Drift
    nulls: NullPolicy
    lookback: Span | None
    delay: Span | None
    parts: int | None
    audit: dict[str, AuditValue | Constant]
    partition_by: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hierarchy: Literal["preserve", "flatten"] = "preserve"
    delete_source: bool = False


class Job(Definition):
    """A copy job with every setting decided; connections are named, never held."""

    name: str
    source: str
    destination: str
    tables: tuple[TableCopy, ...]
    schedules: tuple[Schedule, ...]
    watch: tuple[str, ...] = ()
    limits: Limits


def resolve(file: JobFile, changes_by: str | None = None) -> Job:
    """Settles what each table inherits from its job, and the defaults.

    Args:
        file: the job as it is written down.
        changes_by: the incremental column of tables that name none, where the source has such.
    """
    return Job(
        name=file.name,
        source=file.source,
        destination=file.destination,
        tables=tuple(_table(file, entry, changes_by) for entry in file.tables),
        schedules=tuple(file.schedules),
        watch=tuple(file.watch),
        limits=file.limits,
    )


_DEFAULTS = {"mode": "full", "write": "append", "drift": "evolve", "nulls": "skip"}
_OF_INCREMENTS = frozenset({"incremental_column", "nulls", "lookback", "delay"})


def _table(job: JobFile, entry: TableEntry, changes_by: str | None) -> TableCopy:
    settings = {name: getattr(entry, name) for name in Settings.model_fields}
    mode = entry.mode or job.mode or _DEFAULTS["mode"]
    for name, value in settings.items():
        if value is None:
            # What only increments need does not reach a table that is copied in full.
            means_it = mode == "incremental" or name not in _OF_INCREMENTS
            inherited = getattr(job, name) if means_it else None
            settings[name] = _DEFAULTS.get(name) if inherited is None else inherited
    if mode == "incremental" and settings["incremental_column"] is None:
        settings["incremental_column"] = changes_by
    columns = entry.columns and [Column(name=c) if isinstance(c, str) else c for c in entry.columns]
    return TableCopy(
        **settings
        | {
            "source": entry.source,
            "destination": entry.destination or entry.source,
            "columns": columns,
            "filter": entry.filter,
            "query": entry.query or "",
            "pre_copy_sql": entry.pre_copy_sql,
            "post_copy_sql": entry.post_copy_sql,
            "keys": settings["keys"] or (),
            "audit": settings["audit"] or {},
            "partition_by": settings["partition_by"] or (),
            "include": settings["include"] or (),
            "exclude": settings["exclude"] or (),
            "hierarchy": settings["hierarchy"] or "preserve",
            "delete_source": bool(settings["delete_source"]),
        }
    )

"""What a connector is: a small required interface, and capabilities for the rest.

A source reads rows as Arrow record batches of canonical types (`copy_core.schema`). A destination
stages them out of readers' sight, and publishes all parts of a sequence in one atomic step that
also writes its ledger. Errors leave a connector only as `copy_core.errors` classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from copy_core.job import WriteMode
    from copy_core.model import Commit, Published, Slice, Staged, Target
    from copy_core.watermark import Kind, Watermark


@dataclass(frozen=True)
class SourceCapabilities:
    """What a source can do beyond reading a table from end to end.

    Attributes:
        incremental: it finds the newest value of a column and reads a window of it.
        splits: it reads one window in several parts at the same time.
        queries: it reads the result of a query in its own language as if that were a table.
        objects: what it reads are whole objects as they are; their rows are what describes them.
    """

    incremental: bool = True
    splits: bool = False
    queries: bool = False
    objects: bool = False


@dataclass(frozen=True)
class DestinationCapabilities:
    """What a destination can do.

    Attributes:
        modes: the write modes it offers.
        parallel_stage: several parts of one table may be staged at the same time.
        counts_files: what it publishes is counted in files as well as rows.
        runs_sql: it runs a job's own statements in the transaction that publishes.
        objects: it takes whole objects as they are, not rows.
        partitions: it sorts rows into folders by the values of columns.
    """

    modes: frozenset[WriteMode]
    parallel_stage: bool = True
    counts_files: bool = False
    runs_sql: bool = False
    objects: bool = False
    partitions: bool = False


@dataclass(frozen=True)
class TableInfo:
    """A table as its source describes it at one moment.

    Attributes:
        object: its name.
        schema: its columns, canonical, with true nullability where the source knows it.
        uncopyable: the columns that no canonical type stands for, and why; not in `schema`.
        keys: its primary key; empty when it has none.
        rows: how many rows it has, roughly; None when that is not cheap to know.
        bytes: how large it is, roughly; None likewise.
        watermarks: the kind of each column that may serve as incremental column.
        snapshot: the version that was looked at, where the source has versions.
        lengths: how long the values of a column of text (characters) or bytes may be, where the
            source bounds them.
        query: the query that stands for the table; "" when it is one.
        remarks: what people should know of how it will be read, a sentence each.
        hidden: columns that are copied, compared and watched only when they are named, such as
            the file that a row is from; not in `schema`.
    """

    object: str
    schema: pa.Schema
    keys: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    watermarks: Mapping[str, Kind] = field(default_factory=dict)
    snapshot: str | None = None
    uncopyable: Mapping[str, str] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    query: str = ""
    remarks: tuple[str, ...] = ()
    hidden: pa.Schema | None = None

    @property
    def nameable(self) -> pa.Schema:
        """Every column that a job may name, hidden ones too."""
        schema = self.schema
        for each in self.hidden or ():
            if each.name not in schema.names:
                schema = schema.append(each)
        return schema

    def hides(self, column: str | None) -> bool:
        """Whether a column is one of those in `hidden`."""
        return self.hidden is not None and column in self.hidden.names


class Source(ABC):
    """Reads tables. One instance serves one thread at a time; open more for more threads.

    Attributes:
        rejected: how many rows `read` has left out so far because they are no rows of their table,
            where the connection has such rows left out; each is written down at the source.
    """

    capabilities: SourceCapabilities
    rejected: int = 0

    @abstractmethod
    def objects(self) -> list[str]:
        """The names of what can be read, sorted."""

    @abstractmethod
    def describe(self, name: str, query: str = "") -> TableInfo:
        """Looks at a table.

        Args:
            name: its name.
            query: a query that stands for it, `name` being what people call that; only given
                where `capabilities.queries` says so.

        Raises:
            ConfigError: there is no such table (`code="table-missing"`, the message names near
                misses).
        """

    @abstractmethod
    def newest(self, info: TableInfo, column: str, above: Watermark | None) -> Watermark | None:
        """The largest value of an incremental column, looked up now (or in `info.snapshot`).

        Args:
            info: the table, from `describe`; `column` is one of `info.watermarks`.
            column: the incremental column.
            above: the watermark so far; a source may look only at rows above it, and then
                returns None when there is none.

        Raises:
            TerminalError: values that cannot be ordered against each other.
        """

    def newest_hidden(self, name: str, column: str, above: Watermark | None) -> Watermark | None:
        """As `newest`, of a column that was hidden when the table was last planned. A source that
        knows the values of such a column without a look at the table's rows or schema overrides
        this: that is all that a run with nothing new then costs.
        """
        return self.newest(self.describe(name), column, above)

    @abstractmethod
    def count_nulls(self, info: TableInfo, column: str) -> int:
        """How many rows have no value in `column`."""

    @abstractmethod
    def predicate(self, part: Slice) -> str:
        """The exact condition that `read` will use for `part`, as people would write it for this
        source, values included; "" when every row is read.
        """

    def estimate(self, info: TableInfo, whole: Slice) -> int | None:
        """How many rows `whole` holds, roughly; None where that is not cheap to know."""
        del info, whole
        return None

    def split(self, info: TableInfo, whole: Slice, parts: int) -> list[Slice]:
        """Cuts `whole` into about `parts` slices that together hold each of its rows once, also if
        rows are added while they are read. What describes a slice stays small.
        """
        del info, parts
        return [whole]

    @abstractmethod
    def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yields the rows of `part`, at most `batch_rows` at a time, columns as `part.columns`,
        types as `describe` gave them. Memory is bounded by the batch.

        Raises:
            TerminalError: data that does not fit its column's type, a corrupt file.
        """

    def count_files(self, part: Slice) -> int:
        """How many files hold the rows of `part`; 0 where rows are not kept in files."""
        del part
        return 0

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Gives back connections and files. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Destination(ABC):
    """Writes tables. One instance serves one thread at a time; open more for more threads.

    The calls for one sequence come in this order, any of them possibly again after a crash, from
    another process: prepare, stage (each part), publish, clean.
    """

    capabilities: DestinationCapabilities

    @abstractmethod
    def prepare(self, target: Target) -> pa.Schema:
        """Checks, before anything is read, that rows of `target.columns` can be written: the
        table's types, the key columns, the right to write. Changes nothing that readers see
        (adding columns under `drift: evolve` excepted, and that only nullable ones).

        Returns:
            The schema in which `stage` wants its batches: the table's types for columns that
            exist, without the columns that `drift: ignore` leaves out.

        Raises:
            ConfigError: it cannot be written; names the column.
        """

    @abstractmethod
    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        """Writes one part out of readers' sight. Each attempt stages under a name of its own,
        made of (job, table, sequence, part) and a random token; only the attempt whose `Staged`
        is recorded gets published, so that a late attempt by a dead run's worker does no harm.

        Args:
            target: where to; `prepare` has passed for it.
            part: the part's number.
            batches: its rows, in the schema that `prepare` returned; pulled one at a time. An
                error they raise goes through unchanged.
        """

    @abstractmethod
    def publish(self, commit: Commit) -> Published:
        """Makes every part of the sequence visible and records it in the ledger, in one atomic
        step. If the ledger has the sequence already, changes nothing (or finishes what the
        earlier attempt had to) and returns the ledger's record.

        An upsert replaces the rows of the keys that arrive; of several staged rows of one key the
        newest by `target.order_by` wins, a null being oldest. A sequence below the ledger's newest
        changes nothing.

        Raises:
            TerminalError: the rows break a rule: several rows of a key are equally new
                (`code="duplicate-key"`, also when they are the same), a null in a key
                (`code="null-key"`), a constraint; or a staged part is gone
                (`code="staged-missing"`).
            TransientError: another writer was faster, or the service is busy.
        """

    @abstractmethod
    def last_commit(self, job: str, table: str, name: str) -> Published | None:
        """The newest sequence of (job, table) in the ledger of the destination table `name`;
        None when it has none, or there is no such table.
        """

    @abstractmethod
    def clean(self, target: Target) -> None:
        """Removes what was staged for (job, table) up to `target.sequence` and is not part of
        what the ledger says was published. Safe to call again, and when there is nothing.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Gives back connections and files. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_keys(target: Target, schema: pa.Schema) -> None:
    """Holds what an upsert goes by against the columns that arrive.

    Args:
        target: what is to be written.
        schema: the columns as they are to be staged.

    Raises:
        ConfigError: an upsert has no keys, or a column that it goes by does not arrive.
    """
    if target.write != "upsert":
        return
    if not target.keys:
        raise ConfigError(
            "an upsert needs key columns, and there are none",
            fix="Set `keys` to the columns that identify a row",
            code="keys-missing",
            table=target.object,
        )
    for column in filter(None, (*target.keys, target.order_by)):
        if column not in schema.names:
            raise ConfigError(
                "the column is needed to upsert, and the copy does not deliver it",
                fix="Copy the column, or choose other `keys`",
                code="column-missing",
                table=target.object,
                column=column,
            )


def near(name: str, known: Sequence[str]) -> str:
    """A sentence that offers the known names nearest to `name`."""
    from difflib import get_close_matches

    lower = {k.lower(): k for k in known}
    found = [lower[k] for k in get_close_matches(name.lower(), lower, n=3)]
    if found:
        return f"Did you mean {' or '.join(found)}?"
    return f"There is {', '.join(sorted(known)[:10])}" if known else "There is none at all"

"""What every destination does in every write mode, whatever it writes to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
import pytest

from copy_core.connectors.base import Destination
from copy_core.errors import ConflictError, TerminalError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published, Staged, Target
from copy_core.schema import canonical_schema, schema_to_json
from copy_core.watermark import Watermark
from tests.conformance.rigs import DestinationRig
from tests.conformance.samples import ODD_NAMES, VALUES, rows_of, table

Value = TypeVar("Value")
MARK = Watermark(kind="timestamp", value="2026-01-01T12:00:00.1234567")


def aim(rows: pa.Table, sequence: int = 1, write: WriteMode = "append", **more: Any) -> Target:
    """A target for rows of that schema; an upsert goes by `id` unless it says else, and partitions
    that are replaced are made by it.
    """
    keys: dict[str, Any] = {"keys": ("id",)} if write == "upsert" else {}
    if write == "overwrite_partitions":
        keys = {"partition_by": ("id" if "id" in rows.column_names else rows.column_names[0],)}
    columns = tuple(
        (n, kind, null) for n, kind, null in schema_to_json(canonical_schema(rows.schema))
    )
    whereto = {"job": "job", "table": "source.table", "object": "t"} | keys | more
    return Target(sequence=sequence, write=write, columns=columns, **whereto)


def batches(rows: pa.Table, schema: pa.Schema, size: int = 100) -> Iterator[pa.RecordBatch]:
    """The rows as the mapping would hand them over."""
    columns = [rows[field.name].cast(field.type) for field in schema]
    yield from pa.table(columns, schema=schema).to_batches(size)


def stage(to: Destination, target: Target, *parts: pa.Table) -> tuple[Staged, ...]:
    schema = to.prepare(target)
    done = [to.stage(target, n, batches(rows, schema)) for n, rows in enumerate(parts)]
    assert [staged.rows for staged in done] == [rows.num_rows for rows in parts]
    assert [staged.part for staged in done] == list(range(len(parts)))
    return tuple(done)


def publish(
    to: Destination, target: Target, staged: Iterable[Staged], watermark: Watermark | None = MARK
) -> Published:
    """Publishes after a trip through JSON, as runs make it."""
    commit = Commit(target=target, watermark=watermark, staged=tuple(staged))
    return to.publish(Commit.model_validate_json(commit.model_dump_json()))


def load(rig: DestinationRig, target: Target, *parts: pa.Table) -> Published:
    """The whole way of one sequence."""
    with rig.open() as to:
        staged = stage(to, target, *parts)
        published = persistently(lambda: publish(to, target, staged))
        to.clean(target)
        return published


def persistently(attempt: Callable[[], Value]) -> Value:
    """Tries again as the control flow does while a passing reason stands in the way."""
    for _ in range(40):
        try:
            return attempt()
        except TransientError:
            time.sleep(0.05)
    return attempt()


def check(rig: DestinationRig, *rows: pa.Table, name: str = "t") -> None:
    """Readers see exactly these rows."""
    found = rig.read(name)
    assert found is not None
    assert rows_of(rig.typed(found, rows[0].schema)) == rows_of(*rows)


def refused(held: Iterable[str], known: Iterable[str]) -> list[str]:
    """What the system cannot hold."""
    return sorted(set(known) - set(held))


class DestinationSuite:
    """What holds in every write mode."""

    rig_class: ClassVar[type[DestinationRig]]

    @pytest.fixture
    def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DestinationRig]:
        rig = self.rig_class(tmp_path, request)
        yield rig
        rig.close()

    @pytest.fixture
    def to(self, rig: DestinationRig) -> Iterator[Destination]:
        with rig.open() as to:
            yield to

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        modes = sorted(self.rig_class.capabilities.modes)
        choices: dict[str, Iterable[Any]] = {
            "kind": self.rig_class.types,
            "write": modes,
            "write_whole": [mode for mode in modes if mode != "overwrite_partitions"],
            "odd_table": self.rig_class.odd_tables,
            "odd_column": self.rig_class.odd_columns,
            "refused_table": refused(self.rig_class.odd_tables, ODD_NAMES),
            "refused_kind": refused(self.rig_class.types, VALUES),
        }
        for name, values in choices.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, list(values))

    def test_it_declares_what_it_can(self, rig: DestinationRig, to: Destination) -> None:
        assert to.capabilities == rig.capabilities

    def test_it_closes_twice(self, rig: DestinationRig) -> None:
        with rig.open() as to:
            assert to.last_commit("job", "source.table", "t") is None
        to.close()

    # Staging and publishing

    def test_staged_rows_are_invisible_until_they_are_published(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        staged = stage(to, target, table(3), table(2, start=3))
        assert rig.read("t") is None
        assert to.last_commit("job", "source.table", "t") is None
        publish(to, target, staged)
        check(rig, table())
        later = aim(table(), 2, write)
        stage(to, later, table(9, start=100))
        check(rig, table())

    def test_preparing_creates_nothing_and_may_be_repeated(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        first, second = to.prepare(target), to.prepare(target)
        assert first == second
        assert first.names == ["id", "name", "at"]
        assert rig.read("t") is None

    def test_a_batch_iterator_is_pulled_one_batch_at_a_time(
        self, rig: DestinationRig, to: Destination
    ) -> None:
        target = aim(table())
        schema = to.prepare(target)

        def many() -> Iterator[pa.RecordBatch]:
            for start in range(0, 60, 20):
                yield from batches(table(20, start=start), schema)

        publish(to, target, [to.stage(target, 0, many())])
        check(rig, table(60))

    def test_publishing_twice_changes_nothing_and_says_the_same(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        staged = stage(to, target, table())
        first = publish(to, target, staged)
        assert publish(to, target, staged) == first
        to.clean(target)
        assert publish(to, target, staged) == first
        check(rig, table())

    def test_publishing_is_finished_or_repeated_by_another_process(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        with rig.open() as died_before:
            staged = stage(died_before, target, table())
        with rig.open() as to:
            first = publish(to, target, staged)
        with rig.open() as to:
            assert publish(to, target, staged) == first
            to.clean(target)
        check(rig, table())

    def test_a_late_publish_of_an_old_sequence_changes_nothing(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        load(rig, aim(table(), write=write), table())
        load(rig, aim(table(), 2, write), table(3, start=50))
        before = rig.read("t")
        with rig.open() as late:
            staged = stage(late, aim(table(), write=write), table(1, start=99))
            with suppress(ConflictError, TerminalError):
                publish(late, aim(table(), write=write), staged)
            last = late.last_commit("job", "source.table", "t")
        assert last is not None
        assert last.sequence == 2
        assert before is not None
        check(rig, before)

    def test_only_the_recorded_attempt_at_a_part_is_published(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        (dead,) = stage(to, target, table(2, start=70))
        with rig.open() as other:
            (recorded,) = stage(other, target, table(3))
        (late,) = stage(to, target, table(4, start=80))
        assert len({str(s.ref) for s in (dead, recorded, late)}) == 3
        publish(to, target, [recorded])
        check(rig, table(3))
        to.clean(target)
        check(rig, table(3))
        assert rig.staged() == []

    def test_the_ledger_says_sequence_watermark_and_rows(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        for sequence, mark in enumerate([MARK, None, Watermark(kind="int", value="-7")], 1):
            target = aim(table(), sequence, write)
            staged = stage(to, target, table(2, start=10 * sequence), table(0))
            published = publish(to, target, staged, mark)
            assert published.sequence == sequence
            assert published.watermark == mark
            assert published.rows == 2
            assert published.superseded == 0
            assert (published.files > 0) == rig.capabilities.counts_files
            assert to.last_commit("job", "source.table", "t") == published
            with rig.open() as other:
                assert other.last_commit("job", "source.table", "t") == published

    def test_jobs_that_share_a_table_do_not_disturb_each_other(
        self, rig: DestinationRig, to: Destination
    ) -> None:
        write: WriteMode = "append" if "append" in rig.capabilities.modes else "upsert"
        load(rig, aim(table(), 1, write, job="one"), table(2))
        load(rig, aim(table(), 1, write, job="two"), table(2, start=2))
        load(rig, aim(table(), 2, write, job="two"), table(2, start=4))
        load(rig, aim(table(), 1, write, job="two", table="another"), table(2, start=6))
        found = [
            to.last_commit(job, name, "t")
            for job, name in (("one", "source.table"), ("two", "source.table"), ("two", "another"))
        ]
        assert [f and f.sequence for f in found] == [1, 2, 1]
        assert to.last_commit("three", "source.table", "t") is None
        assert to.last_commit("one", "source.table", "other") is None
        check(rig, table(8))

    def test_a_job_that_moves_to_another_table_starts_a_ledger_there(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table(2))
        load(rig, aim(table(), 2, write, object="moved"), table(3))
        here, there = (to.last_commit("job", "source.table", name) for name in ("t", "moved"))
        assert here is not None
        assert there is not None
        assert (here.sequence, there.sequence) == (1, 2)
        check(rig, table(2))
        check(rig, table(3), name="moved")

    # Cleaning up

    def test_cleaning_removes_leftovers_and_nothing_that_was_published(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        to.clean(target)
        staged = stage(to, target, table(3), table(2, start=3))
        stage(to, target, table(9, start=90))
        publish(to, target, staged)
        for _ in range(2):
            to.clean(target)
            check(rig, table())
        assert rig.staged() == []
        assert to.last_commit("job", "source.table", "t") is not None

    def test_leftovers_of_dead_runs_go_with_the_next(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        with rig.open() as dies:
            stage(dies, aim(table(), 1, write), table(5, start=50))
            stage(dies, aim(table(), 2, write), table(5, start=60))
        load(rig, aim(table(), 3, write), table())
        assert rig.staged() == []
        check(rig, table())

    @pytest.mark.parametrize(
        "other",
        [
            {"job": "job2"},
            {"job": "job.source"},
            {"table": "source_table"},
            {"table": "source.table2"},
            {"table": "SOURCE.TABLE"},
            {"sequence": 2},
        ],
        ids=str,
    )
    def test_cleaning_leaves_the_staged_rows_of_others(
        self, rig: DestinationRig, to: Destination, other: dict[str, Any]
    ) -> None:
        mode = min(rig.capabilities.modes)
        ours, theirs = aim(table(), write=mode), aim(table(), write=mode).model_copy(update=other)
        waiting = stage(to, theirs, table(4))
        stage(to, ours, table(5, start=90))
        to.clean(ours)
        publish(to, theirs, waiting)
        check(rig, table(4))

    def test_an_error_of_the_reader_goes_through_and_leaves_nothing(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        schema = to.prepare(target)
        broken = TransientError("the source went away")

        def half() -> Iterator[pa.RecordBatch]:
            yield from batches(table(100), schema, 10)
            raise broken

        with pytest.raises(TransientError) as raised:
            to.stage(target, 0, half())
        assert raised.value is broken
        assert rig.read("t") is None
        publish(to, target, stage(to, target, table(2)))
        to.clean(target)
        assert rig.staged() == []
        check(rig, table(2))

    # Empty things

    def test_a_commit_without_rows_makes_the_table_and_is_remembered(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        published = publish(to, target, stage(to, target, table(0)))
        assert published.rows == 0
        assert to.last_commit("job", "source.table", "t") == published
        found = rig.read("t")
        assert found is not None
        assert found.column_names == (["id", "name", "at"] if rig.shows_empty else [])
        assert found.num_rows == 0

    def test_a_commit_without_parts_makes_the_table_and_is_remembered(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        to.prepare(target)
        published = publish(to, target, [])
        assert to.last_commit("job", "source.table", "t") == published
        found = rig.read("t")
        assert found is not None
        assert found.column_names == (["id", "name", "at"] if rig.shows_empty else [])
        assert found.num_rows == 0
        load(rig, aim(table(), 2, write), table())
        check(rig, table())

    def test_a_part_without_batches_is_a_part(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        target = aim(table(), write=write)
        schema = to.prepare(target)
        none = to.stage(target, 0, iter([]))
        assert none.rows == 0
        some = to.stage(target, 1, batches(table(), schema))
        assert publish(to, target, [none, some]).rows == 5
        check(rig, table())

    # At the same time

    def test_two_threads_that_publish_one_sequence_publish_it_once(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table(3))
        target = aim(table(), 2, write)
        staged = stage(to, target, table(4, start=3))
        barrier = threading.Barrier(2)

        def one() -> Published:
            with rig.open() as own:
                barrier.wait()
                return persistently(lambda: publish(own, target, staged))

        with ThreadPoolExecutor() as pool:
            first, second = (f.result() for f in [pool.submit(one), pool.submit(one)])
        assert first == second
        check(rig, table(4, start=3) if write == "overwrite" else table(7))

    def test_two_jobs_that_publish_at_once_both_arrive(self, rig: DestinationRig) -> None:
        write: WriteMode = "append" if "append" in rig.capabilities.modes else "upsert"
        load(rig, aim(table(), 1, write), table(10))

        def one(number: int) -> None:
            rows = table(10, start=10 + 10 * number)
            load(rig, aim(rows, 1, write, job=f"job{number}"), rows)

        with ThreadPoolExecutor() as pool:
            list(pool.map(one, range(3)))
        check(rig, table(40))
        assert rig.staged() == []

"""Bad rows that are left out, in the summary of a run: told once, whatever breaks off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copy_core.cli.report import summary_lines
from copy_core.connectors.files.destination import FileDestination
from copy_core.connectors.options import LocalOptions
from copy_core.context import Context
from copy_core.errors import TerminalError, TransientError
from copy_core.job import JobFile, resolve
from copy_core.model import RunSummary, Staged, TableResult, Target
from copy_core.outcomes import as_outcome
from copy_core.runners.local import LocalRunner
from copy_core.state.sqlite import SqliteStateStore

FULL = {"mode": "full", "write": "overwrite"}
INCREMENTAL = {"mode": "incremental", "incremental_column": "at"}


class House:
    """A job from CSV, bad rows left out, to Parquet: two files, a part each, one after the other.

    Attributes:
        orders: the folder that is copied; three rows of it are good, two of the first file bad.
        settings: the table's.
        limits: the job's.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.orders = root, root / "orders"
        self.orders.mkdir()
        (self.orders / "a.csv").write_text("id,at\n1,10\noops,20\n2,30\n3\n")
        (self.orders / "b.csv").write_text("id,at\n4,40\n")
        self.settings: dict[str, Any] = FULL
        self.limits = {"retries": 0, "parallel_parts": 1}
        self.state = SqliteStateStore(root / "state.db")

    def run(self) -> RunSummary:
        file = JobFile.model_validate(
            {
                "name": "job",
                "source": "from",
                "destination": "to",
                "limits": self.limits,
                "tables": [{"source": "orders", "parts": 2, **self.settings}],
            }
        )
        source = LocalOptions(
            type="local",
            root=str(self.root),
            format="csv",
            bad_rows="skip",
            types={"id": "int64"},
        )
        destination = LocalOptions(type="local", root=str(self.root / "to"))
        connections = {"from": source, "to": destination}
        return LocalRunner(Context(resolve(file), connections, self.state)).run()

    def one(self) -> TableResult:
        (result,) = self.run().tables
        return result


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.state.close()


def counted(result: TableResult) -> tuple[int, int, int]:
    return result.rows_read, result.rows_written, result.rows_rejected


def test_a_run_says_how_many_rows_it_left_out(house: House) -> None:
    for _ in range(2):  # They are bad each time that their file is read.
        summary = house.run()
        (table,) = summary.tables
        assert counted(table) == (3, 3, 2)
        assert "left out 2 bad rows: see _rejects/" in "\n".join(summary_lines(summary, 200))
    (house.orders / "a.csv").write_text("id,at\n1,10\n")
    summary = house.run()
    assert counted(summary.tables[0]) == (2, 2, 0)
    assert "bad row" not in "\n".join(summary_lines(summary, 200))


class Failing(FileDestination):
    """Cannot stage a part, once its rows have been read, so many times."""

    part = 0
    times = 0

    def stage(self, target: Target, part: int, batches: Iterable[pa.RecordBatch]) -> Staged:
        staged = super().stage(target, part, batches)
        if part == Failing.part and Failing.times:
            Failing.times -= 1
            raise TransientError("the store went away", retry_after=0.01)
        return staged


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    monkeypatch.setattr("copy_core.connectors.files.destination.FileDestination", Failing)
    monkeypatch.setattr(Failing, "times", 1)
    return Failing


def test_a_part_that_is_read_again_counts_once(
    house: House, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "part", 0)
    house.limits = {"retries": 1, "parallel_parts": 1}
    result = house.one()
    assert (result.retries, *counted(result)) == (1, 3, 3, 2)


def test_a_run_that_goes_on_tells_those_of_the_parts_that_it_finds_staged(
    house: House, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "part", 1)
    house.settings = INCREMENTAL
    failed = house.one()
    assert (failed.status, *counted(failed)) == ("failed", 2, 0, 0)
    result = house.one()
    assert (result.resumed, *counted(result)) == (True, 1, 3, 2)
    assert (house.one().status, house.one().rows_rejected) == ("unchanged", 0)


def test_a_full_copy_that_is_made_once_more_counts_once(
    house: House, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "part", 1)
    assert house.one().status == "failed"
    result = house.one()
    assert (result.resumed, *counted(result)) == (True, 3, 3, 2)


def test_those_of_a_commit_that_another_run_finishes_are_told_by_that(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.settings = INCREMENTAL
    with monkeypatch.context() as dying:
        dying.setattr("copy_core.steps.Steps.commit", as_outcome(_out_of_order))
        assert house.one().rows_rejected == 0
    result = house.one()
    assert (result.resumed, *counted(result)) == (True, 0, 3, 2)


def _out_of_order(_steps: Any, _arg: Any) -> dict[str, Any]:
    raise TerminalError("the state store is out of order")


def test_a_run_that_cannot_write_down_what_it_leaves_out_copies_nothing(house: House) -> None:
    (house.root / "_rejects").write_text("not a folder")
    result = house.one()
    assert result.error is not None
    assert (result.status, result.error["code"]) == ("failed", "rejects-refused")
    assert not list((house.root / "to").rglob("job-*"))

"""A run that finds no newer file reads the listing alone, where the time of files tells."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.options import LocalOptions
from copy_core.context import Context
from copy_core.job import JobFile, resolve
from copy_core.model import TableResult
from copy_core.runners.local import LocalRunner
from copy_core.state import tables
from copy_core.state.sqlite import SqliteStateStore
from tests.unit.file_tables import lay

MODIFIED = "_file_modified"


class House:
    """A job that copies a folder by the time of its files.

    Attributes:
        opened: the files of the source that were opened since it was cleared.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.opened = root / "from", list[str]()
        self.state = SqliteStateStore(root / "state.db")
        self._to = root / "to"
        opens = LocalStore.open

        def noted(store: LocalStore, entry: Entry) -> pa.NativeFile:
            if store.label == str(self.root):
                self.opened.append(entry.key)
            return opens(store, entry)

        monkeypatch.setattr(LocalStore, "open", noted)

    def run(self, **settings: Any) -> TableResult:
        entry = {"source": "t", "mode": "incremental", "incremental_column": MODIFIED, **settings}
        told = {"name": "job", "source": "from", "destination": "to", "tables": [entry]}
        job = resolve(JobFile.model_validate({**told, "limits": {"retries": 0}}))
        ends = {
            "from": LocalOptions(type="local", root=str(self.root)),
            "to": LocalOptions(type="local", root=str(self._to)),
        }
        (result,) = LocalRunner(Context(job, ends, self.state)).run().tables
        return result


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(tmp_path, monkeypatch)
    yield house
    house.state.close()


def test_with_no_newer_file_none_is_opened(house: House) -> None:
    for n in range(5):
        lay(house.root, f"t/{n}.parquet", n)
    assert house.run().rows_written == 5
    house.opened.clear()
    assert (house.run().status, house.opened) == ("unchanged", [])
    lay(house.root, "t/3.parquet", 7, 8)
    result = house.run()
    assert (result.status, result.rows_written, result.files_read) == ("copied", 2, 1)
    house.opened.clear()
    assert (house.run().status, house.opened) == ("unchanged", [])


def test_files_that_are_not_due_yet_are_not_opened(house: House) -> None:
    lay(house.root, "t/1.parquet", 1)
    house.run()
    lay(house.root, "t/2.parquet", 2)
    house.opened.clear()
    assert (house.run(delay="1h").status, house.opened) == ("unchanged", [])
    assert house.run().rows_written == 1


def test_a_folder_that_went_away_is_still_told(house: House) -> None:
    lay(house.root, "t/1.parquet", 1)
    house.run()
    shutil.rmtree(house.root / "t")
    error = house.run().error
    assert error is not None
    assert error["code"] == "table-missing"


def test_a_column_of_the_rows_that_has_the_name_is_looked_at(house: House) -> None:
    for n, value in enumerate([2**62, 2**62 + 1]):
        path = lay(house.root, f"t/{n}.parquet")
        pq.write_table(pa.table({MODIFIED: [value]}), path)
        assert house.run().rows_written == 1
    assert not tables.load(house.state, "job", "t")[0].hidden

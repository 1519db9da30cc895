"""Objects of a store as files: the same bytes, few requests, errors as they are."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.json as arrow_json
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.files.ranges import opened
from copy_core.connectors.files.store import Entry, Store
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import TransientError
from copy_core.model import Slice
from tests.unit.file_tables import FORMATS, lay, rows, source

MB = 1 << 20
# What is fetched after a jump.
FIRST = MB + (64 << 10)
BYTES = bytes(n % 251 for n in range(MB)) * 11 + b"the end"


class Counting(LocalStore):
    """Notes what is asked for, and raises from a given request on."""

    def __init__(self, root: Path, fails: int | None = None) -> None:
        super().__init__(str(root))
        self.asked: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self._fails = fails

    def read(self, entry: Entry, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        self.threads.add(threading.current_thread().name)
        if self._fails is not None and len(self.asked) > self._fails:
            raise TransientError("it changed", code="file-changed", file=entry.key)
        return super().read(entry, start, length)


def laid(root: Path, data: bytes, fails: int | None = None) -> tuple[Counting, Entry]:
    (root / "x").write_bytes(data)
    store = Counting(root, fails)
    return store, next(store.list("x"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    reads=st.lists(
        st.tuples(st.none() | st.integers(0, len(BYTES)), st.integers(0, 6 * MB)), max_size=8
    )
)
def test_every_read_gives_the_bytes_that_are_there(
    tmp_path: Path, reads: list[tuple[int | None, int]]
) -> None:
    store, entry = laid(tmp_path, BYTES)
    with opened(store, entry) as file:
        assert file.size() == len(BYTES)
        for jump, size in reads:
            if jump is not None:
                file.seek(jump)
            place = file.tell()
            assert file.read(size) == BYTES[place : place + size]
        place = file.tell()
        assert file.read() == BYTES[place:]
    assert all(0 < length <= 4 * MB for _, length in store.asked)


def test_reading_on_takes_ever_longer_ranges_ahead_of_the_reader_and_each_byte_once(
    tmp_path: Path,
) -> None:
    store, entry = laid(tmp_path, BYTES)
    with opened(store, entry) as file:
        while file.read(100_000):
            pass
    starts, lengths = zip(*store.asked, strict=True)
    assert starts == tuple(accumulate((0, *lengths[:-1])))
    assert sum(lengths) == len(BYTES)
    assert lengths == (FIRST, 2 * FIRST, 4 * MB, len(BYTES) - 3 * FIRST - 4 * MB)
    assert len(store.threads) == 2
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_a_jump_asks_for_little_and_an_end_for_no_more_than_there_is(tmp_path: Path) -> None:
    store, entry = laid(tmp_path, BYTES)
    with opened(store, entry) as file:
        for start, size in [(len(BYTES) - 65_536, 65_536), (4, 10), (9 * MB, 10), (5, 10)]:
            file.seek(start)
            assert file.read(size) == BYTES[start : start + size]
    assert store.asked == [(len(BYTES) - 65_536, 65_536), (4, FIRST), (9 * MB, FIRST)]


@pytest.mark.parametrize("group", [1_000_000, 100_000, 20_000])
def test_columns_that_are_read_side_by_side_are_fetched_about_once(
    tmp_path: Path, group: int
) -> None:
    noise = pa.py_buffer(Random(7).randbytes(8_000_000))
    values = pa.Array.from_buffers(pa.int64(), 1_000_000, [None, noise])
    rows = pa.table({f"c{n}": values for n in range(8)})
    pq.write_table(rows, tmp_path / "x", group, compression="none", use_dictionary=False)
    store = Counting(tmp_path)
    entry = next(store.list("x"))
    with opened(store, entry) as file, pq.ParquetFile(file, buffer_size=MB) as parquet:
        assert sum(b.num_rows for b in parquet.iter_batches(65_536, use_threads=False)) == 1_000_000
    assert sum(length for _, length in store.asked) < 1.2 * entry.size
    assert len(store.asked) < 1.3 * entry.size / MB


def test_nothing_is_asked_for_that_nobody_reads(tmp_path: Path) -> None:
    store, entry = laid(tmp_path, b"")
    with opened(store, entry) as file:
        assert file.read(10) == b""
    opened(*laid(tmp_path, BYTES)).close()
    assert store.asked == []


def test_a_small_parquet_file_is_two_requests(tmp_path: Path) -> None:
    rows = pa.table({"id": range(50_000), "text": [f"text {n}" for n in range(50_000)]})
    pq.write_table(rows, tmp_path / "x", row_group_size=5000)
    store, entry = laid(tmp_path, (tmp_path / "x").read_bytes())
    with opened(store, entry) as file, pq.ParquetFile(file, buffer_size=MB) as parquet:
        assert pa.Table.from_batches(parquet.iter_batches()) == rows
    assert len(store.asked) == 2


@pytest.mark.parametrize("options", FORMATS, ids=str)
def test_a_small_file_is_fetched_once_to_look_at_it_and_once_to_read_it(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    class Remote(Counting):
        open = Store.open

    lay(tmp_path, f"t/1.{options['format']}", *range(100), **options)
    store = Remote(tmp_path)
    of = source(store, **options)
    info = of.describe("t")
    (part,) = of.split(info, Slice(object="t", columns=tuple(info.schema.names)), 1)
    length = part.range["files"][0][1] if part.range else 0
    assert rows(of, part)
    # A small file of Parquet is no longer than what is read of its end.
    assert [asked for asked in store.asked if asked != (0, length)] == []
    assert len(store.asked) == 2


def parquet(file: pa.NativeFile) -> Iterator[Any]:
    yield from pq.ParquetFile(file, buffer_size=MB, pre_buffer=False).iter_batches()


def unpacked(file: pa.NativeFile) -> Iterator[Any]:
    with pa.CompressedInputStream(file, "gzip") as text:
        while data := text.read(MB):
            yield data


def _rows() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": range(2_000_000)}), sink, compression="none")
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("fails", [0, 1, 2])
@pytest.mark.parametrize(
    ("data", "read"),
    [
        (_rows(), parquet),
        (b"a,b\n" + b"1,2\n" * 3_000_000, arrow_csv.open_csv),
        (b'{"a": 1}\n' * 1_500_000, arrow_json.open_json),
        (gzip.compress(BYTES, 0), unpacked),
    ],
    ids=["parquet", "csv", "jsonl", "gzip"],
)
def test_what_a_store_raises_comes_out_of_every_reader_as_it_is(
    tmp_path: Path, data: bytes, read: Callable[[pa.NativeFile], Iterator[Any]], fails: int
) -> None:
    store, entry = laid(tmp_path, data, fails)
    with pytest.raises(TransientError) as raised, opened(store, entry) as file:
        list(read(file))
    assert raised.value.code == "file-changed"
    assert raised.value.where == {"file": "x"}

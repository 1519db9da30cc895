"""Delta tables, against delta-rs alone: many rows in 8 parts into one commit, and an upsert of few
rows into many.

Every result is read back by DuckDB, from the log and the files of the table, and compared with the
rows that were to arrive.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from bench import data
from bench.delta_copies import KEY, TABLE, reader

ROWS = 10_000_000
PARTS = 8
CHANGED, NEW = 90_000, 10_000
RUNS = 3
WRITE_MARK = 2.0
UPSERT_MARK = 1.0
HOW = ("raw", "ours")

Contents = tuple[int, ...]
"""How many rows, and the sum of their hashes."""
Report = Callable[[str, float, float, float], None]


def delta_benches(report: Report) -> dict[str, Callable[[], None]]:
    """Every bench of this module by its name."""
    return {"delta_write": partial(writing, report), "delta_upsert": partial(upserting, report)}


def writing(report: Report) -> None:
    """Our rate of writing rows in parts, over that of `write_deltalake` of the same rows."""
    with tempfile.TemporaryDirectory(prefix="copyjob-bench-") as folder:
        work, origin = Path(folder), Path(folder, "origin")
        _parts(origin)
        wanted = _contents("SELECT * FROM rows", rows=reader(origin))
        seconds, peaks = _measured("write", work, origin, wanted)
    report("delta_write", seconds["raw"] / seconds["ours"], WRITE_MARK, peaks["ours"])


def upserting(report: Report) -> None:
    """Our rate of an upsert whose keys lie all over the table, over that of delta-rs' merge; and
    its peak memory over ours.
    """
    with tempfile.TemporaryDirectory(prefix="copyjob-bench-") as folder:
        work, origin, base = Path(folder), Path(folder, "origin"), Path(folder, "base")
        write_deltalake(str(base / TABLE), data.reader(ROWS))
        _changes(origin)
        wanted = _contents(
            f"SELECT * FROM {_files(base)} WHERE {KEY} NOT IN (SELECT {KEY} FROM rows)"
            " UNION ALL SELECT * FROM rows",
            rows=reader(origin).read_all(),
        )
        seconds, peaks = _measured("upsert", work, origin, wanted, base)
    report("delta_upsert", seconds["raw"] / seconds["ours"], UPSERT_MARK, peaks["ours"])
    report("delta_upsert_memory", peaks["raw"] / peaks["ours"], UPSERT_MARK, peaks["ours"])


def _measured(
    what: str, work: Path, origin: Path, wanted: Contents, base: Path | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds, the median of runs that alternate, and peak memory; all rows have arrived."""
    seconds: dict[str, list[float]] = {how: [] for how in HOW}
    peaks = dict.fromkeys(HOW, 0.0)
    for run in range(RUNS):
        for how in HOW if run % 2 else reversed(HOW):
            with _lake(work, base) as to:
                command = [sys.executable, "-m", "bench.delta_copies", how, what]
                output = subprocess.run(
                    [*command, str(origin), str(to)], check=True, stdout=subprocess.PIPE
                ).stdout
                found = _contents(f"SELECT * FROM {_files(to)}")
                assert found == wanted, (what, how, found, wanted)
            measured: dict[str, float] = json.loads(output)
            seconds[how].append(measured["seconds"])
            peaks[how] = max(peaks[how], measured["peak_mb"])
    medians = {how: median(each) for how, each in seconds.items()}
    told = [f"{how} {medians[how]:.2f} s, {peaks[how]:.0f} MB" for how in HOW]
    print(f"# delta_{what}: {'; '.join(told)}; {wanted[0]:,} rows read back", flush=True)
    return medians, peaks


@contextmanager
def _lake(work: Path, base: Path | None) -> Iterator[Path]:
    """A new lake, with a table like that of another; it goes away."""
    to = work / "lake"
    if base is None:
        to.mkdir()
    else:
        # No writer of Delta changes a file in its place.
        shutil.copytree(base, to, copy_function=os.link)
    yield to
    shutil.rmtree(to)


def _contents(query: str, **arrow: pa.Table | pa.RecordBatchReader) -> Contents:
    """What the rows of a query come to."""
    columns = ", ".join(data.SCHEMA.names)
    with duckdb.connect() as connection:
        for name, rows in arrow.items():
            connection.register(name, rows)
        found = connection.execute(f"SELECT count(*), sum(hash({columns})) FROM ({query})")
        return tuple(map(int, found.fetchall()[0]))


def _files(lake: Path) -> str:
    """The files that make up the table, for DuckDB, as a log without checkpoints tells them."""
    live: set[str] = set()
    for commit in sorted(lake.glob(f"{TABLE}/_delta_log/*.json")):
        actions = [json.loads(line) for line in commit.read_text("utf-8").splitlines()]
        live |= {unquote(action["add"]["path"]) for action in actions if "add" in action}
        live -= {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
    paths = ", ".join(f"'{lake / TABLE / path}'" for path in sorted(live))
    return f"read_parquet([{paths}], union_by_name = true)"


def _parts(folder: Path) -> None:
    """Rows in files of about the same size."""
    folder.mkdir()
    share, each = -(-ROWS // PARTS), data.batches(ROWS)
    left = next(each, None)
    for number in range(PARTS):
        with pa.ipc.new_stream(folder / f"{number}.arrow", data.SCHEMA) as file:
            rows = 0
            while left is not None and rows < share:
                file.write_batch(left)
                rows, left = rows + left.num_rows, next(each, None)


def _changes(folder: Path) -> None:
    """New versions of rows all over the table, and new rows, in one file."""
    folder.mkdir()
    keys = np.concatenate([np.arange(CHANGED) * (ROWS // CHANGED), ROWS + np.arange(NEW)])
    # Drawn after those of the table, so that no version is like the one before.
    rows = data.reader(2 * (CHANGED + NEW)).read_all().slice(CHANGED + NEW)
    rows = rows.set_column(0, data.SCHEMA.field(KEY), pa.array(keys))
    with pa.ipc.new_stream(folder / "0.arrow", data.SCHEMA) as file:
        file.write_table(rows)

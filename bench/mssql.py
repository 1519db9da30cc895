"""Copies from and to SQL Server, against the raw driver's own loops.

They run on the server that COPYJOB_TEST_MSSQL names, in a database of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench import mssql_data as data
from bench.mssql_copies import CHANGES, FEW, LOADS, ORIGIN, READS, TARGET

ROWS = 1_000_000
MANY_ROWS = 4_000_000
FEW_ROWS = 10_000
RUNS = 3
DRAIN_MARK = 1 / 1.15
PARTS_MARK = 1.4
LOAD_MARK = 1 / 1.1
LIMIT_MB = 400

Report = Callable[[str, float, float, float], None]


def benches(report: Report) -> dict[str, Callable[[], None]]:
    """Every bench of this module by its name."""
    many = (*READS, "mssql_append")
    return {
        **{name: partial(reading, name, report) for name in READS},
        **{name: partial(loading, name, report) for name in LOADS},
        **{f"{name}_many": partial(memory, name, report) for name in many},
    }


def reading(name: str, report: Report) -> None:
    """One part over draining the raw reader to nowhere, and over the raw loop; four over one."""
    with _origin(ROWS) as work:
        seconds, peak_mb = _measured(name, ("drain", "raw", "1", "4"), work)
    report(name, seconds["drain"] / seconds["1"], DRAIN_MARK, peak_mb)
    report(f"{name}_loop", seconds["raw"] / seconds["1"], DRAIN_MARK, peak_mb)
    report(f"{name}_parts", seconds["1"] / seconds["4"], PARTS_MARK, peak_mb)
    report(f"{name}_memory", LIMIT_MB / peak_mb, 1.0, peak_mb)


def loading(name: str, report: Report) -> None:
    """One part over bulk copy into a staging table and the statements that publish it."""
    with _origin(ROWS) as work:
        seconds, peak_mb = _measured(name, ("raw", "1", "4"), work)
    report(name, seconds["raw"] / seconds["1"], LOAD_MARK, peak_mb)
    report(f"{name}_memory", LIMIT_MB / peak_mb, 1.0, peak_mb)


def memory(name: str, report: Report) -> None:
    """The limit over the peak memory of a copy of many rows: as a job is by default, and in four
    parts, since not every server tells how many rows there are to split.
    """
    with _origin(MANY_ROWS) as work:
        peak_mb = max(_copy(how, name, work)["peak_mb"] for how in ("all", "4"))
    report(f"{name}_many", LIMIT_MB / peak_mb, 1.0, peak_mb)


def _measured(name: str, ways: tuple[str, ...], work: Path) -> tuple[dict[str, float], float]:
    """Seconds of each way, the median of runs that alternate, and the peak memory of ours."""
    seconds: dict[str, list[float]] = {how: [] for how in ways}
    first: dict[str, list[float]] = {how: [] for how in ways}
    peak_mb = 0.0
    for run in range(RUNS):
        for how in ways if run % 2 else reversed(ways):
            measured = _copy(how, name, work)
            seconds[how].append(measured["seconds"])
            first[how].append(measured["first"])
            if how.isdigit():
                peak_mb = max(peak_mb, measured["peak_mb"])
    medians = {how: median(each) for how, each in seconds.items()}
    told = [f"{how} {s:.2f} s (first {median(first[how]):.2f} s)" for how, s in medians.items()]
    print(f"# {name}: {', '.join(told)}", flush=True)
    return medians, peak_mb


def _copy(how: str, name: str, work: Path) -> dict[str, float]:
    """Seconds and peak memory of one copy in a fresh process, whose rows are all there."""
    rows = data.count(ORIGIN)
    if name in LOADS:
        for few in ("", FEW):
            data.create(f"{few}{TARGET}")
            if name in ("mssql_upsert", "mssql_overwrite"):
                data.fill(f"{few}{TARGET}", f"{few}{ORIGIN}")
    with tempfile.TemporaryDirectory(dir=work) as to:
        command = [sys.executable, "-m", "bench.mssql_copies", how, name, str(work), f"{to}/to"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    if name in LOADS:
        expected = rows - -rows // 100 if name == "mssql_upsert" else rows
        assert data.count(TARGET) == expected, (how, name)
    measured: dict[str, float] = json.loads(output)
    return measured


@contextmanager
def _origin(rows: int) -> Iterator[Path]:
    """Lineitem in files and in a table of the server, which go away; and changes to it."""
    with tempfile.TemporaryDirectory(prefix="copyjob-bench-") as folder, data.database():
        work = Path(folder)
        for few, size in (("", rows), (FEW, FEW_ROWS)):
            origin = f"{few}{ORIGIN}"
            data.parquet(work / origin, size)
            data.changes(work / f"{few}{CHANGES}", work / origin)
            data.create(origin)
            data.load(origin, work / origin)
        yield work

"""`python -m bench [NAME]`: one line a measure.

`bench NAME ratio=R mark=M peak_mb=P ok|short`, where R is our rate over that of the raw libraries'
loop (or a limit over what was used), the median of runs that alternate.
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

from bench import data
from bench.copies import COPIES
from bench.delta import delta_benches
from bench.files import file_benches
from bench.mssql import benches
from tests.mssql.server import VARIABLE

ROWS = 5_000_000
MANY_ROWS = 50_000_000
RUNS = 5
MARK = 0.9
LIMIT_MB = 512
_MAKE: dict[str, Callable[[Path, int], None]] = {
    "sqlite": data.sqlite_file,
    "delta": data.delta_table,
    "local": data.parquet_folder,
}


def report(name: str, ratio: float, mark: float, peak_mb: float) -> None:
    verdict = "ok" if ratio >= mark else "short"
    print(
        f"bench {name} ratio={ratio:.2f} mark={mark:.2f} peak_mb={peak_mb:.0f} {verdict}",
        flush=True,
    )


def copy(how: str, name: str, origin: Path, to: Path) -> dict[str, float]:
    """Seconds and peak memory of one copy in a fresh process."""
    command = [sys.executable, "-m", "bench.copies", how, name, str(origin), str(to)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, float] = json.loads(output)
    return measured


@contextmanager
def source(name: str, rows: int) -> Iterator[Path]:
    """The data that a copy reads, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="copyjob-bench-") as folder:
        origin = Path(folder, "origin")
        _MAKE[COPIES[name][0][0]](origin, rows)
        yield origin


def rate(name: str) -> None:
    """Our rate over the raw loop's, with one part."""
    seconds: dict[str, list[float]] = {"raw": [], "one": []}
    peaks = []
    with source(name, ROWS) as origin:
        for run in range(RUNS):
            for how in ("raw", "one") if run % 2 else ("one", "raw"):
                to = origin.with_name(f"{how}{run}")
                measured = copy(how, name, origin, to)
                seconds[how].append(measured["seconds"])
                if how == "one":
                    peaks.append(measured["peak_mb"])
                _remove(to)
    report(name, median(seconds["raw"]) / median(seconds["one"]), MARK, max(peaks))


def memory(name: str) -> None:
    """The limit over the peak memory of a copy of many rows: in one part, and in as many at once
    as a job copies by default.
    """
    with source(name, MANY_ROWS) as origin:
        for how, suffix in (("one", ""), ("all", "_parallel")):
            to = origin.with_name(how)
            peak = copy(how, name, origin, to)["peak_mb"]
            report(f"memory_{name}{suffix}", LIMIT_MB / peak, 1.0, peak)
            _remove(to)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def cold(name: str, command: list[str]) -> None:
    """The time of `import pyarrow` over that of a fresh process of ours."""
    pyarrow = [sys.executable, "-c", "import pyarrow"]
    times: dict[str, list[float]] = {"pyarrow": [], "ours": []}
    peak = 0.0
    for _ in range(RUNS * 2):
        for how, line in (("pyarrow", pyarrow), ("ours", command)):
            seconds, peak_mb = _process(line)
            times[how].append(seconds)
            peak = max(peak, peak_mb) if how == "ours" else peak
    ours, theirs = median(times["ours"]), median(times["pyarrow"])
    print(f"# {name}: {ours * 1000:.0f} ms; import pyarrow: {theirs * 1000:.0f} ms")
    report(f"cold_{name}", theirs / ours, _COLD_MARKS[name], peak)


def _process(command: list[str]) -> tuple[float, float]:
    """Wall time and peak memory of a command."""
    watch = (
        "import resource,subprocess,sys,time;t=time.perf_counter();"
        "subprocess.run(sys.argv[1:],check=True,stdout=subprocess.DEVNULL);"
        "print(time.perf_counter()-t,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024)"
    )
    shell = [sys.executable, "-c", watch, *command]
    output = subprocess.run(shell, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, peak = output.split()
    return float(seconds), float(peak)


def _unchanged() -> None:
    # It needs the test host and Azurite, which the others do without.
    from bench.unchanged import unchanged

    unchanged(report)


# The Functions SDK with Durable alone takes longer to import than pyarrow.
_COLD_MARKS = {"cli_help": 1.0, "function_app": 0.25}

BENCHES: dict[str, Callable[[], None]] = {
    **{name: partial(rate, name) for name in COPIES},
    **{f"memory_{name}": partial(memory, name) for name in COPIES},
    "unchanged": _unchanged,
    "cold_cli_help": lambda: cold("cli_help", [sys.executable, "-m", "copy_core.cli", "--help"]),
    "cold_function_app": lambda: cold(
        "function_app",
        [
            *("env", "COPYJOB_JOBS=jobs", "COPYJOB_STATE=state.db"),
            *(sys.executable, "-c", "import function_app"),
        ],
    ),
    **delta_benches(report),
    **file_benches(report),
    **benches(report),
}


def main() -> None:
    """Runs the benches whose name starts with the argument; without one all that can run here."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    missing = "mssql" if not wanted and VARIABLE not in os.environ else None
    chosen = [
        run
        for name, run in BENCHES.items()
        if name.startswith(wanted) and name.partition("_")[0] != missing
    ]
    if not chosen:
        raise SystemExit(f"no bench starts with '{wanted}'; there are {', '.join(BENCHES)}")
    for run in chosen:
        run()


if __name__ == "__main__":
    main()

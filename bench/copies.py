"""One copy, timed, in a process of its own: by the raw libraries' loop, or by us.

`python -m bench.copies raw|one|all NAME FROM TO` prints seconds and peak memory as JSON. `raw` is
the libraries' own loop, `one` is ours with one part, `all` ours as a job is by default.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What each copy reads and writes: connection type and the option that holds its place.
COPIES = {
    "sqlite_to_delta": (("sqlite", "path"), ("delta", "root")),
    "delta_to_sqlite": (("delta", "root"), ("sqlite", "path")),
    "parquet_to_delta": (("local", "root"), ("delta", "root")),
}


def raw_sqlite_to_delta(origin: Path, to: Path) -> None:
    from adbc_driver_sqlite import dbapi
    from deltalake import write_deltalake

    with dbapi.connect(f"file:{origin}") as db, db.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "65536"})
        cursor.execute("SELECT * FROM orders")
        write_deltalake(str(to / "orders"), cursor.fetch_record_batch())


def raw_delta_to_sqlite(origin: Path, to: Path) -> None:
    from adbc_driver_sqlite import dbapi
    from deltalake import DeltaTable

    scanner = DeltaTable(str(origin / "orders")).to_pyarrow_dataset().scanner(batch_size=65_536)
    with dbapi.connect(f"file:{to}") as db, db.cursor() as cursor:
        cursor.adbc_ingest("orders", scanner.to_reader(), mode="create")
        db.commit()


def raw_parquet_to_delta(origin: Path, to: Path) -> None:
    import pyarrow.dataset as ds
    from deltalake import write_deltalake

    scanner = ds.dataset(origin / "orders", format="parquet").scanner(batch_size=65_536)
    write_deltalake(str(to / "orders"), scanner.to_reader())


RAW: dict[str, Callable[[Path, Path], None]] = {
    "sqlite_to_delta": raw_sqlite_to_delta,
    "delta_to_sqlite": raw_delta_to_sqlite,
    "parquet_to_delta": raw_parquet_to_delta,
}


def job(name: str, origin: Path, to: Path, table: dict[str, Any]) -> dict[str, Any]:
    """The job file of a copy."""
    (read, at), (write, into) = COPIES[name]
    return {
        "name": name,
        "source": "from",
        "destination": "to",
        "tables": [{"source": "orders", **table}],
        "connections": {
            "from": {"type": read, at: str(origin)},
            "to": {"type": write, into: str(to)},
        },
    }


def run(definition: dict[str, Any], to: Path) -> None:
    """Runs a job as `copyjob run` does; its files stand beside `to`."""
    from copy_core.context import Context
    from copy_core.jobfile import load
    from copy_core.runners.local import LocalRunner
    from copy_core.state.registry import open_state

    file = to.with_suffix(".job.json")
    file.write_text(json.dumps(definition), "utf-8")
    loaded = load(file)
    with open_state(str(to.with_suffix(".state.db"))) as store:
        summary = LocalRunner(Context(loaded.job, loaded.connections, store)).run()
    if summary.status != "succeeded":
        raise SystemExit(str(summary.tables[0].error if summary.tables else summary.error))


def peak_mb() -> float:
    """This process' peak memory. Not `ru_maxrss`: that begins with what the parent had."""
    status = Path("/proc/self/status").read_text("ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def main(how: str, name: str, origin: str, to: str) -> None:
    # What both need is imported before the clock starts: this measures copying, not importing.
    import copy_core.jobfile
    import copy_core.runners.local  # noqa: F401 - so that its import is not timed

    if how != "raw":
        # As in the command: Arrow chooses its allocator once, and copy_core says which.
        assert "pyarrow" not in sys.modules
    import pyarrow.dataset  # noqa: F401 - so that its import is not timed

    start = time.perf_counter()
    if how == "raw":
        RAW[name](Path(origin), Path(to))
    else:
        table = {"parts": 1} if how == "one" else {}
        run(job(name, Path(origin), Path(to), table), Path(to))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One copy from or to SQL Server, timed, in a process of its own: by the raw driver, or by us.

`python -m bench.mssql_copies HOW NAME WORK TO` prints seconds and peak memory as JSON. `raw` is the
driver's own loop, `drain` reads and writes nowhere, a number is ours with as many parts, `all` ours
as a job is by default.

The same copy of a few rows goes before it, and `first` tells its seconds: a process loads libraries
and opens connections once, and some servers take long over the first questions of a connection.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.copies import peak_mb, run

READS = {"mssql_to_parquet": ("local", "root"), "mssql_to_delta": ("delta", "root")}
LOADS = {
    "mssql_append": "append",
    "mssql_upsert": "upsert",
    "mssql_overwrite": "overwrite",
    "mssql_to_mssql": "append",
}

FEW = "few_"
"""How the names of tables and folders begin that have a few rows each."""
ORIGIN = "lineitem"
CHANGES = "changes"
TARGET = "target"
STAGING = "staging"


def raw_read(name: str, to: Path, few: str) -> None:
    """The driver's Arrow reader, into files."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import write_deltalake

    from bench import mssql_data as data

    with data.cursor() as db:
        reader = _reader(db, few)
        if name == "drain":
            for _ in reader:
                pass
        elif name == "mssql_to_delta":
            write_deltalake(str(to), pa.RecordBatchReader.from_batches(reader.schema, reader))
        else:
            to.mkdir()
            with pq.ParquetWriter(to / "0.parquet", reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)


def raw_load(name: str, work: Path, few: str) -> None:
    """Bulk copy into a staging table, then what makes its rows those of the target."""
    import pyarrow.dataset as ds

    from bench import mssql_data as data

    data.create(STAGING, key=False)
    with data.cursor() as db:
        if name == "mssql_to_mssql":
            with data.cursor() as other:
                _bulk(db, _reader(other, few))
        else:
            folder = work / f"{few}{CHANGES if name == 'mssql_upsert' else ORIGIN}"
            scanner = ds.dataset(folder, format="parquet").scanner(batch_size=data.BATCH_ROWS)
            _bulk(db, scanner.to_reader())
        db.execute("SET XACT_ABORT ON; BEGIN TRANSACTION")
        for statement in _publish(name, few):
            db.execute(statement)
        db.execute("COMMIT")
    data.drop(STAGING)


def _reader(db: Any, few: str) -> Any:
    from bench import mssql_data as data

    db.execute(f"SELECT * FROM dbo.{few}{ORIGIN}")
    return db.arrow_reader(data.BATCH_ROWS)


def _bulk(db: Any, batches: Any) -> None:

    db.bulkcopy_arrow(f"dbo.{STAGING}", batches, timeout=0, table_lock=True)


def _publish(name: str, few: str) -> Iterator[str]:
    from bench import mssql_data as data

    target, staging = f"dbo.{few}{TARGET}", f"dbo.{STAGING}"
    same = " AND ".join(f"t.{key} = s.{key}" for key in data.KEYS)
    if name == "mssql_overwrite":
        yield f"DELETE FROM {target}"
    if name == "mssql_upsert":
        values = ", ".join(f"{name} = s.{name}" for name in data.COLUMNS.keys() - data.KEYS)
        yield f"UPDATE t SET {values} FROM {target} AS t JOIN {staging} AS s ON {same}"
        yield (
            f"INSERT INTO {target} SELECT s.* FROM {staging} AS s"
            f" WHERE NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {same})"
        )
    else:
        yield f"INSERT INTO {target} SELECT * FROM {staging}"


def job(name: str, work: Path, to: Path, parts: int | None, few: str) -> dict[str, Any]:
    """The job file of a copy."""
    from bench import mssql_data as data

    server, files = data.options(), {"type": "local", "root": str(work)}
    origin, goal = server, server
    table: dict[str, Any] = {"source": f"dbo.{few}{ORIGIN}"}
    if name in READS:
        kind, place = READS[name]
        goal = {"type": kind, place: str(to)}
        table["destination"] = ORIGIN
    else:
        table |= {"destination": f"dbo.{few}{TARGET}", "write": LOADS[name]}
        if name != "mssql_to_mssql":
            origin = files
            table["source"] = f"{few}{ORIGIN}"
        if name == "mssql_upsert":
            table |= {"source": f"{few}{CHANGES}", "keys": list(data.KEYS)}
    if parts:
        table["parts"] = parts
    return {
        "name": name,
        "source": "from",
        "destination": "to",
        "tables": [table],
        "connections": {"from": origin, "to": goal},
    }


def timed(how: str, name: str, work: Path, to: Path, few: str = "") -> float:
    """Seconds of a copy."""
    start = time.perf_counter()
    if how == "drain" or (how == "raw" and name in READS):
        raw_read("drain" if how == "drain" else name, to, few)
    elif how == "raw":
        raw_load(name, work, few)
    else:
        run(job(name, work, to, None if how == "all" else int(how), few), to)
    return time.perf_counter() - start


def main(how: str, name: str, work: str, to: str) -> None:
    # What both need is imported before the clock starts: this measures copying, not importing.
    import copy_core.jobfile
    import copy_core.runners.local  # noqa: F401 - so that its import is not timed

    if how not in ("raw", "drain"):
        # As in the command: Arrow chooses its allocator once, and copy_core says which.
        assert "pyarrow" not in sys.modules
    import mssql_python  # noqa: F401 - so that its import is not timed
    import pyarrow.dataset  # noqa: F401 - so that its import is not timed

    import bench.mssql_data  # noqa: F401 - so that its import is not timed

    first = timed(how, name, Path(work), Path(f"{to}_first"), FEW)
    seconds = timed(how, name, Path(work), Path(to))
    print(json.dumps({"first": first, "seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

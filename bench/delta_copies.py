"""One write into a Delta table, timed, in a process of its own: by delta-rs alone, or by us.

`python -m bench.delta_copies raw|ours write|upsert FROM TO` prints seconds and peak memory as JSON.
FROM is a folder of Arrow files, a part each: to read them costs next to nothing. TO is a lake.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.copies import peak_mb

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "orders"
KEY = "id"


def parts(origin: Path) -> list[Path]:
    """The parts' files."""
    return sorted(origin.iterdir())


def batches(part: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a part."""
    import pyarrow as pa

    with pa.OSFile(str(part)) as file, pa.ipc.open_stream(file) as rows:
        yield from rows


def reader(origin: Path) -> pa.RecordBatchReader:
    """The rows of all parts."""
    import pyarrow as pa

    from bench.data import SCHEMA

    every = (batch for part in parts(origin) for batch in batches(part))
    return pa.RecordBatchReader.from_batches(SCHEMA, every)


def raw_write(origin: Path, to: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(to / TABLE), reader(origin))


def raw_upsert(origin: Path, to: Path) -> None:
    from deltalake import DeltaTable

    merge = DeltaTable(str(to / TABLE)).merge(
        reader(origin), f"t.{KEY} = s.{KEY}", source_alias="s", target_alias="t"
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def ours(write: str, origin: Path, to: Path) -> None:
    """Stages the parts by as many threads as a job has, and publishes them in one commit."""
    from bench.data import SCHEMA
    from copy_core.connectors.options import DeltaOptions
    from copy_core.connectors.registry import open_destination
    from copy_core.job import Limits
    from copy_core.model import Commit, Staged, Target
    from copy_core.schema import schema_to_json

    lake = DeltaOptions(type="delta", root=str(to))
    target = Target.model_validate(
        {
            "job": "bench",
            "table": TABLE,
            "object": TABLE,
            "sequence": 1,
            "write": write,
            "columns": schema_to_json(SCHEMA),
            "keys": (KEY,) if write == "upsert" else (),
        }
    )

    def stage(number: int, part: Path) -> Staged:
        with open_destination(lake) as destination:
            return destination.stage(target, number, batches(part))

    with open_destination(lake) as destination:
        destination.prepare(target)
        with ThreadPoolExecutor(Limits().parallel_parts) as pool:
            staged = tuple(pool.map(stage, *zip(*enumerate(parts(origin)), strict=True)))
        destination.publish(Commit(target=target, watermark=None, staged=staged))
        destination.clean(target)


WAYS: dict[tuple[str, str], Callable[[Path, Path], None]] = {
    ("raw", "write"): raw_write,
    ("raw", "upsert"): raw_upsert,
    ("ours", "write"): lambda origin, to: ours("append", origin, to),
    ("ours", "upsert"): lambda origin, to: ours("upsert", origin, to),
}


def main(how: str, what: str, origin: str, to: str) -> None:
    # What both need is imported before the clock starts: this measures writing, not importing.
    import copy_core.connectors.delta.destination
    import copy_core.connectors.registry  # noqa: F401 - so that its import is not timed

    start = time.perf_counter()
    WAYS[how, what](Path(origin), Path(to))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

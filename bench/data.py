"""Rows to measure with: made batch by batch, so that any number of them fits in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("customer", pa.int64()),
        ("quantity", pa.int64()),
        ("price", pa.float64()),
        ("discount", pa.float64()),
        ("status", pa.string()),
        ("comment", pa.string()),
        ("day", pa.string()),
    ]
)
_BATCH = 65_536
_STATUS = np.array(["open", "paid", "shipped", "returned"])
_WORDS = np.array([f"comment number {n} of an order" for n in range(1000)])
_DAYS = np.array([str(d) for d in np.arange("2020-01-01", "2026-01-01", dtype="datetime64[D]")])


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Yields `rows` rows of `SCHEMA`, the same ones each time."""
    draw = np.random.default_rng(7)
    for start in range(0, rows, _BATCH):
        size = min(_BATCH, rows - start)
        columns = [
            np.arange(start, start + size),
            draw.integers(0, 100_000, size),
            draw.integers(1, 50, size),
            draw.random(size) * 1000,
            draw.random(size),
            draw.choice(_STATUS, size),
            draw.choice(_WORDS, size),
            draw.choice(_DAYS, size),
        ]
        yield pa.record_batch(
            [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )


def reader(rows: int) -> pa.RecordBatchReader:
    """The same as a stream."""
    return pa.RecordBatchReader.from_batches(SCHEMA, batches(rows))


def sqlite_file(path: Path, rows: int) -> None:
    """A SQLite database with the rows in table `orders`."""
    from adbc_driver_sqlite import dbapi

    with dbapi.connect(f"file:{path}") as db, db.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, quantity INTEGER,"
            " price REAL, discount REAL, status TEXT, comment TEXT, day TEXT)"
        )
        cursor.adbc_ingest("orders", reader(rows), mode="append")
        db.commit()


def parquet_folder(path: Path, rows: int, files: int = 8) -> None:
    """A folder `orders` of Parquet files with the rows."""
    folder = path / "orders"
    folder.mkdir(parents=True)
    writers = [pq.ParquetWriter(folder / f"{n}.parquet", SCHEMA) for n in range(files)]
    for n, batch in enumerate(batches(rows)):
        writers[n % files].write_batch(batch)
    for writer in writers:
        writer.close()


def delta_table(path: Path, rows: int) -> None:
    """A Delta table `orders` with the rows."""
    from deltalake import write_deltalake

    write_deltalake(str(path / "orders"), reader(rows))

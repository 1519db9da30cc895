"""TPC-H lineitem in Parquet files, and in tables of the server that COPYJOB_TEST_MSSQL names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from mssql_python import Cursor

    from tests.mssql.server import Server

BATCH_ROWS = 65_536
KEYS = ("l_orderkey", "l_linenumber")
# TPC-H has two of the texts as char(25) and char(10): padding is not what is measured here.
COLUMNS = {
    "l_orderkey": "bigint",
    "l_partkey": "bigint",
    "l_suppkey": "bigint",
    "l_linenumber": "int",
    "l_quantity": "decimal(15,2)",
    "l_extendedprice": "decimal(15,2)",
    "l_discount": "decimal(15,2)",
    "l_tax": "decimal(15,2)",
    "l_returnflag": "char(1)",
    "l_linestatus": "char(1)",
    "l_shipdate": "date",
    "l_commitdate": "date",
    "l_receiptdate": "date",
    "l_shipinstruct": "varchar(25)",
    "l_shipmode": "varchar(10)",
    "l_comment": "varchar(44)",
}
_DATABASE = "COPYJOB_BENCH_DATABASE"
_FILES = 4
_ROWS_OF_SCALE_1 = 6_000_000
_NEW_KEYS = 1_000_000_000


def parquet(folder: Path, rows: int) -> None:
    """About as many rows of lineitem, in a few files below `folder`."""
    program = str(Path(sys.executable).with_name("tpchgen-cli"))
    made = folder.with_suffix(".made")
    scale = f"--scale-factor={rows / _ROWS_OF_SCALE_1:.4f}"
    options = ["--quiet", "--tables=lineitem", f"--parts={_FILES}", scale, f"--output-dir={made}"]
    subprocess.run([program, "parquet", *options], check=True)
    folder.mkdir()
    for origin in (made / "lineitem").iterdir():
        # Its texts are string views, which few libraries write to other systems.
        with pq.ParquetFile(origin) as file:
            views, fields = pa.types.is_string_view, file.schema_arrow
            plain = [f.with_type(pa.string()) if views(f.type) else f for f in fields]
            with pq.ParquetWriter(folder / origin.name, pa.schema(plain)) as writer:
                for batch in file.iter_batches():
                    writer.write_batch(batch.cast(writer.schema))
    shutil.rmtree(made)


def changes(folder: Path, of: Path) -> None:
    """Every tenth row of the files below `of`, with another comment; a tenth of them is new."""
    rows = ds.dataset(of, format="parquet").to_table()
    some = rows.take(pa.array(range(0, rows.num_rows, 10)))
    new = pa.array(n % 10 == 0 for n in range(some.num_rows))
    key = pc.if_else(new, pc.add(some["l_orderkey"], _NEW_KEYS), some["l_orderkey"])
    some = some.set_column(0, some.schema.field(0), key)
    comment = some.schema.get_field_index("l_comment")
    some = some.set_column(comment, "l_comment", pc.utf8_upper(some["l_comment"]))
    folder.mkdir()
    pq.write_table(some, folder / "0.parquet")


@contextmanager
def database() -> Iterator[None]:
    """A database of its own on the server, which this process and its children then work with.

    Raises:
        SystemExit: the environment names no server.
    """
    from tests.mssql.server import MISSING, databases, named

    if named() is None:
        raise SystemExit(MISSING)
    with databases() as made:
        os.environ[_DATABASE] = made.take("bench").name
        yield


def options() -> dict[str, Any]:
    """The connection of the job files."""
    return _server().options(os.environ[_DATABASE]).model_dump(exclude_defaults=True)


@contextmanager
def cursor() -> Iterator[Cursor]:
    """A cursor of the raw driver that commits each statement."""
    import mssql_python

    words = {**_server().words, "database": os.environ[_DATABASE]}
    text = ";".join(f"{word}={{{value.replace('}', '}}')}}}" for word, value in words.items())
    with mssql_python.connect(text, autocommit=True) as db, db.cursor() as cursor:
        yield cursor


def _server() -> Server:
    from tests.mssql.server import MISSING, named

    found = named()
    if found is None:
        raise SystemExit(MISSING)
    return found


def create(table: str, *, key: bool = True) -> None:
    """Makes an empty lineitem, in place of what has the name."""
    drop(table)
    columns = [f"{name} {kind} NOT NULL" for name, kind in COLUMNS.items()]
    columns += [f"PRIMARY KEY ({', '.join(KEYS)})"] if key else []
    with cursor() as db:
        db.execute(f"CREATE TABLE dbo.{table} ({', '.join(columns)})")


def drop(table: str) -> None:
    with cursor() as db:
        db.execute(f"DROP TABLE IF EXISTS dbo.{table}")


def load(table: str, folder: Path) -> None:
    """Puts the rows of the files below `folder` into a table, by a few writers at once."""

    def one(file: Path) -> None:
        with cursor() as db:
            db.bulkcopy_arrow(f"dbo.{table}", pq.ParquetFile(file).iter_batches(), timeout=0)

    with ThreadPoolExecutor() as writers:
        list(writers.map(one, folder.glob("*.parquet")))


def fill(table: str, origin: str) -> None:
    """Puts the rows of a table into another."""
    with cursor() as db:
        db.execute(f"INSERT INTO dbo.{table} SELECT * FROM dbo.{origin}")


def count(table: str) -> int:
    with cursor() as db:
        ((rows,),) = db.execute(f"SELECT COUNT_BIG(*) FROM dbo.{table}").fetchall()
    return int(rows)

"""The connector of local files, against Parquet files that pyarrow writes and DuckDB reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from copy_core.schema import canonical_schema
from tests.conformance import kit
from tests.conformance.local_files import FilesDestinationRig, FilesRig, FilesSourceRig


class ParquetFiles(FilesRig):
    connection: ClassVar[dict[str, Any]] = {"format": "parquet"}
    extension = ".parquet"

    def write(self, path: Path, rows: pa.Table) -> None:
        pq.write_table(rows, path)


class ParquetSourceRig(ParquetFiles, FilesSourceRig):
    def corrupt(self, name: str) -> None:
        for path in (self.root / name).iterdir():
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
            self.sent(path)


class ParquetDestinationRig(ParquetFiles, FilesDestinationRig):
    def load(self, files: Sequence[Path]) -> pa.Table:
        with duckdb.connect() as reader:
            reader.execute("SET TimeZone = 'UTC'")
            names = list(map(str, files))
            found = reader.read_parquet(names, union_by_name=True).to_arrow_table()
        return found.cast(canonical_schema(found.schema))


TestSource = kit.source(ParquetSourceRig)
TestDestination = kit.destination(ParquetDestinationRig)

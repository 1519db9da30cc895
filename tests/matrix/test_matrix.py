"""A ring through the matrix: each system once as source and once as destination. `make matrix`
tries every pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.onelake import onelake
from tests.matrix import cells, files
from tests.matrix.systems import System, lakehouses, own, stores
from tests.servers import Azurite, LocalStack

ROWS = (
    "sqlite",
    "s3",
    "lakehouse",
    "delta",
    "azure_blob",
    "local",
    "lakehouse_files",
    "adls_gen2",
)
FILES = ("local", "s3", "azure_blob", "lakehouse_files", "adls_gen2")


@pytest.fixture(scope="module")
def systems(localstack: LocalStack, azurite: Azurite) -> Iterator[dict[str, System]]:
    found = [
        *own("parquet"),
        *stores(localstack, azurite, "parquet"),
        *lakehouses(azurite, "parquet"),
    ]
    with onelake(azurite):
        yield {system.name: system for system in found}


@pytest.mark.parametrize("mode", cells.MODES)
@pytest.mark.parametrize("source", ROWS)
def test_rows(tmp_path: Path, systems: dict[str, System], source: str, mode: str) -> None:
    target = ROWS[(ROWS.index(source) + 1) % len(ROWS)]
    found = cells.cell(tmp_path, systems[source], systems[target], mode)
    upserts = target in ("sqlite", "delta", "lakehouse")
    assert found.outcome == ("ok" if upserts or "upsert" not in mode else "not offered")


@pytest.mark.parametrize("mode", files.MODES)
@pytest.mark.parametrize("source", FILES)
def test_files(tmp_path: Path, systems: dict[str, System], source: str, mode: str) -> None:
    target = FILES[(FILES.index(source) + 1) % len(FILES)]
    assert files.cell(tmp_path, systems[source], systems[target], mode).outcome == "ok"

"""Small files written together and old ones removed, wherever the tables are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from copy_core.connectors.delta import compaction, upkeep
from copy_core.connectors.delta.onelake import lake_of
from copy_core.connectors.registry import open_destination
from tests.conformance.destination_kit import aim, publish, stage
from tests.conformance.onelake import onelake
from tests.conformance.samples import rows_of, table
from tests.conformance.test_delta import S3, Azure, Place
from tests.conformance.test_fabric_lakehouse import Lakehouse

AT_ONCE = {"delta.deletedFileRetentionDuration": "interval 0 days"}


@pytest.fixture(params=[Place, Azure, S3, Lakehouse], ids=lambda place: place.__name__)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param is not Lakehouse:
        yield request.param(tmp_path, request)
        return
    with onelake(request.getfixturevalue("azurite")):
        yield Lakehouse(tmp_path, request)


def test_a_table_is_looked_after(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_MANY", 3)
    options = place.options.model_copy(update={"properties": AT_ONCE, "optimize": True})
    lake = lake_of(options)
    with open_destination(options) as to:
        waiting = aim(table(), job="another")
        staged = stage(to, waiting, table(2, start=100))
        for sequence in range(1, 5):
            target = aim(table(), sequence)
            publish(to, target, stage(to, target, table(5, start=5 * sequence)))
            to.clean(target)
        upkeep.vacuum(lake, "t", timedelta(0))
        files = [file for file in place.below() if file.endswith(".parquet")]
        assert len(place.table("t").file_uris()) == 2
        assert len(files) == 3
        publish(to, waiting, staged)
    found = place.table("t").to_pyarrow_table()
    assert rows_of(found) == rows_of(table(20, start=5), table(2, start=100))

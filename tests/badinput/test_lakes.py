"""Delta tables that ask for too much, or change under a run; and lakes that refuse.

A run says so and loses nothing: once the cause is gone, the next one copies everything.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from copy_core import table_steps
from copy_core.connectors.delta.publish import Publisher
from copy_core.errors import TransientError
from copy_core.transfer import transfer
from tests.badinput.desk import Desk, between, from_each, to_each, told
from tests.badinput.places import TABLE, Place, sales
from tests.conformance.onelake import OneLake, onelake
from tests.servers import Azurite

TOO_NEW: dict[str, tuple[dict[str, Any], str]] = {
    "reader": ({"minReaderVersion": 4, "minWriterVersion": 8}, "reader version 4"),
    "both": (
        {"minReaderVersion": 3, "minWriterVersion": 7}
        | {"readerFeatures": ["madeUp"], "writerFeatures": ["madeUp"]},
        "madeUp",
    ),
    "known": (
        {"minReaderVersion": 3, "minWriterVersion": 7}
        | {"readerFeatures": ["variantType"], "writerFeatures": ["variantType"]},
        "variantType",
    ),
    "managed": (
        {"minReaderVersion": 3, "minWriterVersion": 7}
        | {"readerFeatures": ["catalogManaged"], "writerFeatures": ["catalogManaged"]},
        "catalog",
    ),
    "odd": (
        {"minReaderVersion": 3, "minWriterVersion": 8}
        | {"readerFeatures": [], "writerFeatures": []},
        "protocol",
    ),
}


def upgrade(table: Path, protocol: dict[str, Any]) -> Path:
    """Adds a commit that asks more of those who read or write; the file of that commit."""
    log = table / "_delta_log"
    file = log / f"{len(list(log.glob('*.json'))):020}.json"
    file.write_text(json.dumps({"protocol": protocol}))
    return file


@from_each("delta")
@pytest.mark.parametrize("protocol", TOO_NEW)
def test_a_source_whose_protocol_is_too_new(desk: Desk, protocol: str) -> None:
    desk.load()
    more, says = TOO_NEW[protocol]
    commit = upgrade(desk.source.path / TABLE, more)
    desk.refuses("table-feature", says, table=TABLE)
    commit.unlink()
    desk.recovers()


@to_each("delta")
@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        *TOO_NEW.values(),
        ({"minReaderVersion": 1, "minWriterVersion": 8}, "writer version 8"),
        ({"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["mine"]}, "mine"),
    ],
    ids=str,
)
def test_a_destination_whose_protocol_is_too_new(
    desk: Desk, protocol: dict[str, Any], says: str
) -> None:
    desk.load()
    commit = upgrade(desk.destination.path / TABLE, protocol)
    before = desk.watermark()
    told(desk.run(), "table-feature", says, table=TABLE)
    assert desk.watermark() == before
    commit.unlink()
    desk.recovers()


def compact(table: Path) -> None:
    """Moves all rows to one file, and removes the others."""
    lake = DeltaTable(str(table))
    lake.optimize.compact()
    lake.vacuum(0, dry_run=False, enforce_retention_duration=False)


def shorten(table: Path) -> None:
    """Leaves the newest commit alone in the log, with a checkpoint."""
    write_deltalake(str(table), sales(9), mode="append")
    DeltaTable(str(table)).create_checkpoint()
    for commit in sorted((table / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()


def renew(table: Path) -> None:
    """Puts another table in its place, with a version of the same number."""
    rows = DeltaTable(str(table)).to_pyarrow_table()
    shutil.rmtree(table)
    for _ in range(4):
        write_deltalake(str(table), rows.slice(0, 0), mode="append")
    write_deltalake(str(table), rows, mode="append")


@from_each("delta")
@pytest.mark.parametrize("meanwhile", [compact, shorten, renew])
def test_a_version_that_goes_amid_a_run(
    desk: Desk, meanwhile: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.load()

    def late(*args: Any) -> Any:
        meanwhile(desk.source.path / TABLE)
        return transfer(*args)

    with monkeypatch.context() as patch:
        patch.setattr(table_steps, "transfer", late)
        desk.refuses("source-changed", "Run again", table=TABLE)
    desk.recovers()


@from_each("delta")
@pytest.mark.parametrize("meanwhile", [compact, shorten, renew])
def test_a_version_that_goes_while_a_plan_waits(
    desk: Desk, meanwhile: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.load()

    def down(*_: object) -> None:
        raise TransientError("the machine goes down")

    with monkeypatch.context() as patch:
        patch.setattr(table_steps, "transfer", down)
        assert desk.run().exit == 1
    meanwhile(desk.source.path / TABLE)
    desk.recovers()


@from_each("delta")
def test_rows_that_a_commit_wrote_anew_are_upserted_or_refused(desk: Desk) -> None:
    desk.settings |= {"incremental_column": "_commit_version"}
    desk.load()
    table = DeltaTable(str(desk.source.path / TABLE))
    table.update(updates={"v": "v + 1"}, predicate="id = 2")
    desk.refuses("rows-rewritten", "UPDATE", table=TABLE)
    desk.settings |= {"keys": ["id"], "write": "upsert"}
    desk.recovers()
    # Several versions of a row in one window: moved, and changed where they were moved to.
    desk.source.add(sales(7, 8))
    for change in ("v * 2", "v + 3"):
        table = DeltaTable(str(desk.source.path / TABLE))
        table.optimize.compact()
        table.update(updates={"v": change}, predicate="id = 7 or id = 1")
    desk.recovers()


@between(("delta", "sqlite"), ("delta", "delta"), ("delta", "parquet"))
def test_what_commits_added_is_copied_once(desk: Desk) -> None:
    desk.settings |= {"incremental_column": "_commit_version"}
    desk.load()
    desk.source.add(sales(5))
    DeltaTable(str(desk.source.path / TABLE)).optimize.compact()
    desk.recovers()
    assert desk.watermark()[1] == "3"


@from_each("delta")
def test_a_log_that_was_shortened_below_the_watermark(desk: Desk) -> None:
    desk.settings |= {"incremental_column": "_commit_version"}
    desk.load()
    desk.source.add(sales(5))
    shorten(desk.source.path / TABLE)
    desk.refuses("log-expired", "copyjob reset", table=TABLE)
    ran = desk.call("reset", str(desk.file), "--table", TABLE, "--truncate", "--yes")
    assert ran.exit == 0, ran
    desk.recovers()


# OneLake


class Lakehouse(Place):
    """Tables in a workspace of what stands for OneLake, filled and read past it."""

    def __init__(self, azurite: Azurite, lake: OneLake) -> None:
        super().__init__(Path(f"ws-{uuid.uuid4()}"))
        self._storage = azurite.storage_options
        lake.create(self.path.name)

    def connection(self) -> dict[str, Any]:
        given = {"workspace": self.path.name, "lakehouse": "shop", "auth": "managed_identity"}
        return {"type": "fabric_lakehouse", "schemas": False, **given}

    def add(self, rows: pa.Table, table: str = TABLE) -> None:
        write_deltalake(self._url(table), rows, mode="append", storage_options=self._storage)

    def read(self, table: str = TABLE) -> list[dict[str, Any]]:
        if not DeltaTable.is_deltatable(self._url(table), self._storage):
            return []
        found: list[dict[str, Any]] = (
            DeltaTable(self._url(table), storage_options=self._storage)
            .to_pyarrow_table()
            .to_pylist()
        )
        return found

    def rename(self, old: str, new: str) -> None:
        raise NotImplementedError

    def _url(self, table: str) -> str:
        return f"az://{self.path.name}/shop.Lakehouse/Tables/{table}"


@pytest.fixture
def lake(azurite: Azurite) -> Iterator[OneLake]:
    with onelake(azurite) as lake:
        yield lake


# What loses its rights: the role of the lakehouse in the run, and where that happens.
DENIED = [
    ("source", table_steps, "transfer"),
    ("destination", table_steps, "transfer"),
    ("destination", Publisher, "run"),
]


@pytest.mark.parametrize(("role", "owner", "name"), DENIED, ids=["read", "stage", "publish"])
def test_a_right_that_is_taken_away_amid_a_run(
    tmp_path: Path,
    azurite: Azurite,
    lake: OneLake,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    owner: Any,
    name: str,
) -> None:
    desk = Desk(tmp_path)
    place = Lakehouse(azurite, lake)
    setattr(desk, role, place)
    desk.connections["from" if role == "source" else "to"] = place.connection()
    desk.load()
    step = getattr(owner, name)

    def denied(*args: Any) -> Any:
        with lake.refusing(403, "Forbidden", "User is not authorized"):
            return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, denied)
        desk.refuses("access-denied", "grant it the right", table=TABLE)
    desk.recovers()


def test_a_column_that_the_endpoint_would_not_show(
    tmp_path: Path, azurite: Azurite, lake: OneLake
) -> None:
    desk = Desk(tmp_path)
    desk.destination = Lakehouse(azurite, lake)
    desk.connections["to"] = desk.destination.connection()
    desk.source.add(sales(1, 2, **{"order id": [7, 8]}))
    told(desk.run(), "bad-name", "names: replace", table=TABLE, column="order id")
    assert desk.destination.read() == []
    desk.connections["to"]["names"] = "replace"
    assert desk.run().exit == 0
    assert desk.destination.rows("id", "order_id") == [("1", "7"), ("2", "8")]

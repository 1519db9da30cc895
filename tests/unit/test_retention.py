"""Retention: old records go, whenever it breaks off; running runs and the state of tables stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import pytest

from copy_core.errors import TransientError
from copy_core.model import JsonDict, RunRequest, RunSummary, TableResult
from copy_core.service import retention
from copy_core.service.catalog import Catalog
from copy_core.service.launcher import Launcher
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state import history, history_purge, lease, tables
from copy_core.state.azure_tables import AzureTablesStateStore
from copy_core.state.base import ABSENT, ANY, Row, StateStore
from copy_core.state.sqlite import SqliteStateStore
from tests.servers import Azurite

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")


@pytest.fixture(params=["sqlite", "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if request.param == "sqlite":
        with SqliteStateStore(tmp_path / "state.db") as store:
            yield store
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    connection = azurite.connection_string
    with AzureTablesStateStore.from_connection_string(connection, f"t{uuid4().hex}") as store:
        yield store


def keep(
    store: StateStore,
    run_id: str,
    *,
    began: float,
    ended: float | None = None,
    job: str = "sales",
    count: int = 2,
    status: Literal["succeeded", "skipped"] = "succeeded",
) -> None:
    """Records a run that began and ended so many days ago."""
    results = [TableResult(source=f"t{n}", destination="x", status="copied") for n in range(count)]
    history.record(
        store,
        RunSummary(
            run_id=run_id,
            job=job,
            status=status,
            started_at=days_ago(began),
            ended_at=days_ago(began if ended is None else ended),
            tables=tuple(results),
        ),
    )


def kept(store: StateStore, job: str | None = None) -> list[str]:
    return [run.run_id for run in history.runs(store, job, limit=1000).runs]


def gone(store: StateStore, run_id: str) -> bool:
    return history.run(store, run_id) is None and not store.list(f"run/{run_id}")


def purge(store: StateStore, days: float = 30) -> int:
    return history_purge.purge(store, NOW - timedelta(days=days))


def test_runs_that_ended_before_then_are_removed_and_no_others(store: StateStore) -> None:
    for days in (100, 31, 30.001, 29.999, 1):
        keep(store, f"sales-{days}", began=days)
        keep(store, f"stock-{days}", began=days, job="stock")
    assert purge(store) == 6
    assert kept(store, "sales") == ["sales-1", "sales-29.999"]
    assert kept(store, "stock") == ["stock-1", "stock-29.999"]
    assert sorted(kept(store)) == ["sales-1", "sales-29.999", "stock-1", "stock-29.999"]
    assert all(gone(store, f"{job}-{d}") for job in ("sales", "stock") for d in (100, 31, 30.001))
    left = history.run(store, "sales-1")
    assert left is not None
    assert len(left.tables) == 2
    assert purge(store) == 0


def test_more_runs_than_a_page_are_removed(store: StateStore) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_purge, "_PAGE", 7)
        for n in range(21):
            keep(store, f"r{n}", began=40 + n, count=0)
        assert purge(store) == 21
    assert kept(store) == []


def test_a_long_run_is_kept_from_its_end_on(store: StateStore) -> None:
    keep(store, "long", began=31, ended=29)
    assert purge(store) == 0
    assert kept(store) == ["long"]


def test_a_run_that_is_under_way_is_left_alone_and_a_broken_one_is_not(store: StateStore) -> None:
    began = NOW - timedelta(days=50)
    for job in ("runs", "broke"):
        history.begin(store, RunRequest(run_id=job, job=job), 1, began)
    lease.claim(store, "runs", 3600, lease.Owner(run_id="runs", holder="test"))
    assert purge(store) == 1
    assert kept(store) == ["runs"]
    assert gone(store, "broke")
    lease.release(store, "runs", "runs")
    assert purge(store) == 1
    assert gone(store, "runs")


def test_a_run_that_ends_while_it_is_looked_at_is_kept_from_its_end_on(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.begin(store, RunRequest(run_id="long", job="sales"), 1, NOW - timedelta(days=50))
    lease.claim(store, "sales", 3600, lease.Owner(run_id="long", holder="test"))
    look = lease.holder_of

    def end_and_look(*args: Any) -> lease.Lease | None:
        run = history.run(store, "long")
        assert run is not None
        history.end(store, run.model_copy(update={"status": "failed", "ended_at": days_ago(0)}))
        lease.release(store, "sales", "long")
        return look(*args)

    monkeypatch.setattr(lease, "holder_of", end_and_look)
    assert purge(store) == 0
    assert [run.status for run in history.runs(store).runs] == ["failed"]


def test_the_state_of_tables_is_not_touched(store: StateStore) -> None:
    state = tables.TableState(table="t0", sequence=7, loaded=True)
    tables.save(store, "sales", state, ABSENT)
    lease.claim(store, "sales", 3600, lease.Owner(run_id="other", holder="test"))
    keep(store, "old", began=50)
    assert purge(store) == 1
    assert tables.load(store, "sales", "t0")[0] == state
    assert lease.holder_of(store, "sales") is not None


class Dying(StateStore):
    """A store that stops answering after some writes."""

    def __init__(self, store: StateStore, writes: int) -> None:
        self.store, self.left = store, writes

    def _write(self) -> None:
        if self.left == 0:
            raise TransientError("gone")
        self.left -= 1

    def get(self, partition: str, key: str) -> Row | None:
        return self.store.get(partition, key)

    def list(
        self, partition: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[Row]:
        return self.store.list(partition, prefix, after, limit)

    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        self._write()
        return self.store.put(partition, key, value, expect)

    def put_many(self, partition: str, values: Mapping[str, JsonDict]) -> None:
        self._write()
        self.store.put_many(partition, values)

    def delete(self, partition: str, key: str, expect: str = ANY) -> None:
        self._write()
        self.store.delete(partition, key, expect)

    def delete_prefix(self, partition: str, prefix: str) -> None:
        self._write()
        self.store.delete_prefix(partition, prefix)


def test_a_purge_that_breaks_off_anywhere_leaves_lists_that_can_be_read(store: StateStore) -> None:
    broke_off = 0
    while True:
        for days in (50, 40, 1):
            keep(store, f"r{days}", began=days)
        try:
            history_purge.purge(Dying(store, broke_off), NOW - timedelta(days=30))
        except TransientError:
            broke_off += 1
        else:
            break
        listed = kept(store)
        assert "r1" in listed
        assert listed == sorted(listed, key=lambda name: int(name[1:]))
        assert set(kept(store, "sales")) <= set(listed)
        for run_id in listed:
            record = history.run(store, run_id)
            assert record is None or len(record.tables) == 2
        assert "r40" in listed or "r50" not in listed, "the oldest goes first"
        purge(store)
        assert kept(store) == kept(store, "sales") == ["r1"]
        assert gone(store, "r50")
        assert gone(store, "r40")
    assert broke_off >= 6


class Engine(Launcher):
    """Notes what it is asked to forget."""

    def __init__(self) -> None:
        self.forgot: list[datetime] = []

    async def start(self, request: RunRequest) -> bool:
        raise AssertionError(request)

    async def progress(self, run_id: str) -> JsonDict | None:
        raise AssertionError(run_id)

    async def purge(self, before: datetime) -> None:
        self.forgot.append(before)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def service(store: StateStore, engine: Engine) -> Service:
    no_catalog = cast("Catalog", cast("Any", None))
    return Service(Settings("jobs", "state", keep_days=10), no_catalog, store, engine)


def test_a_service_forgets_by_its_settings_and_so_does_its_engine(
    service: Service, engine: Engine
) -> None:
    keep(service.store, "old", began=11)
    keep(service.store, "new", began=9)
    asyncio.run(retention.daily(service, NOW))
    assert kept(service.store) == ["new"]
    assert engine.forgot == [NOW - timedelta(days=10)]


def test_a_timer_forgets_once_a_day_and_a_little_at_a_time(
    service: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "A_TICK", 2)
    for days in (11, 12, 13, 14, 9.5):
        keep(service.store, f"r{days}", began=days)

    def tick(minutes: int) -> list[str]:
        asyncio.run(retention.daily(service, NOW + timedelta(minutes=minutes)))
        return kept(service.store)

    assert tick(0) == ["r9.5", "r11", "r12"]
    assert tick(1) == ["r9.5"]
    assert engine.forgot == []
    assert tick(2) == ["r9.5"]
    assert len(engine.forgot) == 1
    keep(service.store, "late", began=20)
    assert tick(3) == ["r9.5", "late"]
    assert tick(24 * 60) == []
    assert tick(24 * 60 + 1) == []
    assert len(engine.forgot) == 2

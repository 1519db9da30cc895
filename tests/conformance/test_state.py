"""The state stores, by the kit; and what each has of its own."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.data.tables import TableClient

from copy_core.errors import ConfigError, ConflictError, CopyJobError, TerminalError, TransientError
from copy_core.state.azure_tables import AzureTablesStateStore
from copy_core.state.base import ABSENT
from copy_core.state.registry import open_state
from copy_core.state.sqlite import SqliteStateStore
from tests.conformance.state_kit import RACERS, OpenStore, StateKit, claims
from tests.conformance.table_gate import Gate, gate
from tests.servers import Azurite

_WRITER = """
import sys
from copy_core.state.sqlite import SqliteStateStore
store = SqliteStateStore(sys.argv[1])
n = 0
while True:
    store.put("p", "k", {"n": n})
    print(n, flush=True)
    n += 1
"""


def _claims_in_process(path: str, run_id: str, start: float) -> bool:
    """Opens a state file that nobody made yet, together with others, and claims its job."""
    time.sleep(max(0.0, start - time.time()))
    with SqliteStateStore(path) as store:
        return claims(store, run_id)


class TestSqlite(StateKit):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "a folder" / "state.db"

    @pytest.fixture
    def open_store(self, path: Path) -> OpenStore:
        return lambda: SqliteStateStore(path)

    def test_one_of_many_processes_gets_the_lease(self, path: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(RACERS, mp_context=spawn) as pool:
            list(pool.map(_sleep, [0.2] * RACERS))  # all of them have started
            start = time.time() + 0.2
            racers = [
                pool.submit(_claims_in_process, str(path), f"run-{n}", start) for n in range(RACERS)
            ]
            assert sum(racer.result() for racer in racers) == 1

    def test_a_write_that_returned_survives_kill_9(self, path: Path) -> None:
        SqliteStateStore(path).close()
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer.stdout as said:
            acknowledged = [said.readline() for _ in range(20)]
            writer.kill()
            acknowledged += said.readlines()
        writer.wait()
        with SqliteStateStore(path) as store:
            row = store.get("p", "k")
        assert row is not None
        assert row.value["n"] >= int(acknowledged[-1])

    def test_a_write_is_synced_to_the_disk(self, path: Path) -> None:
        with SqliteStateStore(path) as store:
            assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_another_file_is_not_taken_for_a_state(self, tmp_path: Path) -> None:
        other = tmp_path / "report.xlsx"
        other.write_bytes(b"PK\x03\x04 something else" * 1000)
        with pytest.raises(TerminalError) as refused:
            SqliteStateStore(other)
        assert refused.value.where == {"file": str(other)}
        assert "move the file away" in refused.value.fix
        assert other.read_bytes().startswith(b"PK")

    def test_another_table_of_that_name_is_not_taken_for_a_state(self, tmp_path: Path) -> None:
        other = tmp_path / "shop.db"
        connection = sqlite3.connect(other)
        connection.execute("CREATE TABLE state (name TEXT)")
        connection.close()
        with SqliteStateStore(other) as store, pytest.raises(TerminalError):
            store.get("p", "k")

    def test_a_damaged_file_is_said_to_be_damaged(self, path: Path) -> None:
        with SqliteStateStore(path) as store:
            store.put_many("p", {f"{n}": {"text": "x" * 1000} for n in range(100)})
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        path.write_bytes(data)
        with SqliteStateStore(path) as store, pytest.raises(TerminalError) as refused:
            store.list("p")
        assert refused.value.code == "state-damaged"

    def test_a_place_that_cannot_be_written_to_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for place in (tmp_path, tmp_path / "file" / "state.db"):
            with pytest.raises(ConfigError) as refused:
                SqliteStateStore(place)
            assert refused.value.where == {"file": str(place)}

    def test_a_row_that_is_no_json_is_told_with_its_place(self, path: Path) -> None:
        with SqliteStateStore(path) as store:
            store.put("p", "k", {})
            store._connection.execute("UPDATE state SET value = '{'")
            with pytest.raises(TerminalError) as refused:
                store.get("p", "k")
        assert refused.value.code == "state-damaged"
        assert refused.value.where == {"partition": "p", "key": "k", "state": str(path)}

    def test_a_full_disk_changes_nothing(self, path: Path) -> None:
        with SqliteStateStore(path) as store:
            etag = store.put("p", "k", {"n": 1})
            pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
            store._connection.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(TerminalError) as refused:
                store.put("p", "k", {"text": "x" * 100_000}, etag)
            assert refused.value.code == "state-disk-full"
            with pytest.raises(TerminalError):
                store.put_many("p", {"a": {}, "b": {"text": "x" * 100_000}})
            assert store.list("p") == [("k", {"n": 1}, etag)]
            store._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
            store.put("p", "k", {"text": "x" * 100_000}, etag)


class TestAzureTables(StateKit):
    @pytest.fixture
    def table(self) -> str:
        return f"t{uuid4().hex}"

    @pytest.fixture
    def open_store(self, azurite: Azurite, table: str) -> OpenStore:
        connection = azurite.connection_string
        return lambda: AzureTablesStateStore.from_connection_string(connection, table)

    @pytest.fixture
    def behind(self, azurite: Azurite) -> Iterator[Gate]:
        with gate(azurite.table_endpoint) as server:
            yield server

    @pytest.fixture
    def gated(self, azurite: Azurite, behind: Gate, table: str) -> Iterator[AzureTablesStateStore]:
        connection = azurite.connection_string.replace(
            azurite.table_endpoint, f"http://127.0.0.1:{behind.server_port}/{azurite.account}"
        )
        with AzureTablesStateStore.from_connection_string(connection, table) as store:
            yield store

    def test_a_lost_answer_is_no_conflict(self, gated: AzureTablesStateStore, behind: Gate) -> None:
        first = gated.put("p", "k", {"n": 1})
        behind.lose = 1
        second = gated.put("p", "k", {"n": 2}, first)
        assert behind.lose == 0
        assert gated.get("p", "k") == ("k", {"n": 2}, second)
        with pytest.raises(ConflictError):
            gated.put("p", "k", {"n": 2}, first)

    def test_a_lost_answer_to_an_insert_leaves_the_row(
        self, gated: AzureTablesStateStore, behind: Gate
    ) -> None:
        gated.put("p", "k", {})
        behind.lose = 1
        with pytest.raises(TransientError):
            gated.put("p", "new", {}, ABSENT)
        assert gated.get("p", "new") is not None

    @pytest.mark.parametrize(
        ("status", "asked", "seconds"),
        [(429, "7", 7.0), (503, "12", 12.0), (503, "", None), (500, "soon", None)],
    )
    def test_a_busy_service_says_when_to_come_back(
        self,
        gated: AzureTablesStateStore,
        behind: Gate,
        status: int,
        asked: str,
        seconds: float | None,
    ) -> None:
        behind.refusal = (status, {"Retry-After": asked})
        for act in (
            lambda: gated.put("p", "k", {}),
            lambda: gated.put_many("p", {"k": {}}),
            lambda: gated.list("p"),
        ):
            with pytest.raises(TransientError) as busy:
                act()
            assert busy.value.retry_after == seconds

    def test_a_time_to_come_back_at_is_understood(
        self, gated: AzureTablesStateStore, behind: Gate
    ) -> None:
        behind.refusal = (503, {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})
        with pytest.raises(TransientError) as busy:
            gated.get("p", "k")
        assert busy.value.retry_after is not None
        assert busy.value.retry_after > 3600

    def test_a_wrong_key_is_for_the_user_to_correct(self, azurite: Azurite, table: str) -> None:
        connection = azurite.connection_string.replace("AccountKey=", "AccountKey=AAAA")
        with AzureTablesStateStore.from_connection_string(connection, table) as store:
            for act in (
                lambda: store.get("p", "k"),
                lambda: store.put("p", "k", {}, ABSENT),
                lambda: store.put_many("p", {"k": {}}),
            ):
                with pytest.raises(ConfigError) as refused:
                    act()
                assert refused.value.where["state"] == f"{azurite.account}/{table}"

    def test_a_service_that_is_away_may_come_back(self, azurite: Azurite, table: str) -> None:
        connection = azurite.connection_string.replace(f":{azurite.table_port}/", ":1/")
        with (
            AzureTablesStateStore.from_connection_string(connection, table) as store,
            pytest.raises(TransientError),
        ):
            store.get("p", "k")

    @pytest.mark.parametrize(
        "change",
        [{"value0": '{"n": 1'}, {"chunks": 2}, {"chunks": "x"}, {"key": "no JSON"}],
        ids=["no JSON", "a chunk is missing", "no number of chunks", "no key"],
    )
    def test_a_row_that_others_changed_is_told_with_its_place(
        self, azurite: Azurite, table: str, change: dict[str, Any]
    ) -> None:
        connection = azurite.connection_string
        with AzureTablesStateStore.from_connection_string(connection, table) as store:
            store.put("p", "k", {"n": 1})
            with TableClient.from_connection_string(connection, table) as client:
                (entity,) = client.list_entities()
                client.update_entity({**entity, **change})
            for act in (lambda: store.get("p", "k"), lambda: store.list("p")):
                with pytest.raises(TerminalError) as refused:
                    act()
                assert refused.value.code == "state-damaged"
                place = f"{azurite.account}/{table}"
                assert refused.value.where == {"partition": "p", "key": "k", "state": place}

    def test_the_table_is_made_by_whoever_is_first(self, open_store: OpenStore) -> None:
        with open_store() as store, open_store() as other:
            assert store.get("p", "k") is None
            other.put_many("p", {"k": {}})
            assert store.list("p") == other.list("p")

    def test_a_state_is_opened_by_reference_to_its_secret(
        self, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORAGE_CONNECTION", azurite.connection_string)
        key = uuid4().hex
        with open_state("tables:${env:STORAGE_CONNECTION}") as store:
            store.put("open_state", key, {"n": 1})
            store.delete("open_state", key)
        assert azurite.key not in str(TransientError(f"signed with {azurite.key}"))


class TestOpenState:
    @pytest.mark.parametrize("url", ["state.db", "sqlite:///state.db", "folder/state.db"])
    def test_a_path_is_a_sqlite_file(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with open_state(url) as store:
            store.put("p", "k", {})
        assert (tmp_path / url.removeprefix("sqlite:///")).is_file()

    def test_four_slashes_lead_from_the_root(self, tmp_path: Path) -> None:
        open_state(f"sqlite:///{tmp_path}/state.db").close()
        assert (tmp_path / "state.db").is_file()

    @pytest.mark.parametrize("table", ["", "/", "/state2"])
    def test_an_account_is_opened_by_identity(self, table: str) -> None:
        store = open_state(f"https://shop.table.core.windows.net{table}")
        assert isinstance(store, AzureTablesStateStore)
        store.close()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "sqlite:///",
            "sqlite://state.db",
            "postgres://host/db",
            "https://example.com/state",
            "https://shop.blob.core.windows.net/state",
            "https://shop.table.core.windows.net/bad-name",
            "tables:",
            "tables:DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=c2VjcmV0",
            "tables:${env:NAME};AccountKey=c2VjcmV0",
            "tables:${env:NOT_SET}",
            "tables:${c2VjcmV0}",
        ],
    )
    def test_anything_else_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(ConfigError) as refused:
            open_state(url)
        assert refused.value.fix
        assert "c2VjcmV0" not in str(refused.value)

    def test_a_wrong_connection_string_is_not_repeated(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORAGE_CONNECTION", "AccountKey:c2VjcmV0")
        with pytest.raises(CopyJobError) as refused:
            open_state("tables:${env:STORAGE_CONNECTION}")
        assert isinstance(refused.value, ConfigError)
        assert "c2VjcmV0" not in str(refused.value)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)

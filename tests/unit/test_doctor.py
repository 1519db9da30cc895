"""`copyjob doctor`: what it tries, what it tells, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from azure.storage.blob import ContainerClient
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from copy_core.cli import main
from copy_core.connectors import memory
from copy_core.connectors.discard import discard
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.connectors.memory import MemoryDestination, MemorySource
from copy_core.connectors.options import MemoryOptions
from copy_core.doctor import rows as doctor_rows
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import WriteMode
from copy_core.model import Target
from tests.s3 import s3_client
from tests.servers import Azurite, LocalStack

SECRET = "COPYJOB_TEST_SECRET"
ROWS = pa.table({"id": [1, 2, 3], "changed": [10, None, 30]})
TRIAL = ["prepare", "stage", "publish", "read back", "publish again"]
OF_OBJECTS = ["put", "read back", "put again", "remove"]


@pytest.fixture(autouse=True)
def here() -> Iterator[memory.MemoryStore]:
    """A source with a table; it is empty again afterwards."""
    store = memory.store("here")
    store.put("orders", ROWS, keys=["id"])
    yield store
    store.clear()


def job_file(folder: Path, connection: dict[str, Any], role: str = "destination") -> Path:
    """A job that copies orders from here to there; the connection has one of the roles."""
    connections = {name: {"type": "memory", "name": "here"} for name in ("here", "there")}
    path = folder / "job.json"
    table = {"source": "orders", "mode": "incremental", "incremental_column": "changed"}
    path.write_text(
        json.dumps(
            {
                "name": "trial",
                "source": "here",
                "destination": "there",
                "tables": [table],
                "connections": connections
                | {{"source": "here", "destination": "there"}[role]: connection},
            }
        )
    )
    return path


def call(*args: str | Path) -> Result:
    result = CliRunner().invoke(main, ["doctor", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def checks(result: Result) -> dict[str, bool]:
    """The checks in their order, and whether each passed."""
    lines = [
        line for line in result.stdout.splitlines() if line.startswith("  ") and line[2] != " "
    ]
    lines = [line for line in lines if "✓" in line or "✗" in line]
    return {line[2:16].rstrip(): "✓" in line for line in lines}


# As a source


def test_a_source_is_read_as_the_job_will(tmp_path: Path) -> None:
    result = call("here", job_file(tmp_path, {"type": "memory", "name": "here"}, "source"))
    assert result.exit_code == 0, result.output
    wanted = ["options", "open to read", "list", "describe", "newest", "read"]
    assert checks(result) == dict.fromkeys(wanted, True)
    assert "orders: id int64, changed int64; key id; about 3 rows" in result.stdout
    assert "changed: 30; rows without one: 1" in result.stdout
    assert "6 checks passed" in result.stdout


def test_a_connection_without_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be used in any way."""
    (tmp_path / "connections.yaml").write_text(
        "connections:\n  files: {type: local, root: files, format: jsonl}\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files" / "orders").mkdir(parents=True)
    (tmp_path / "files" / "orders" / "a.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    result = call("files")
    assert result.exit_code == 0, result.output
    assert list(checks(result)) == [
        "options", "open to read", "list", "describe", "newest", "read", "ledger",
    ]  # fmt: skip
    assert "rows in the first batch: 2" in result.stdout
    assert "--write" in result.stdout


def test_what_fails_tells_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    job = job_file(tmp_path, {"type": "memory", "name": "here"}, "source")
    result = call("here", job, "--table", "ordres")
    assert result.exit_code == 1
    assert checks(result) == {
        "options": True, "open to read": True, "list": True, "describe": False,
    }  # fmt: skip
    assert "Did you mean orders?" in result.stderr
    assert "1 of 4 checks failed" in result.stdout


def test_a_job_that_watches_the_wrong_column(tmp_path: Path, here: memory.MemoryStore) -> None:
    here.put("orders", pa.table({"id": [1], "changed": [True]}))
    result = call("here", job_file(tmp_path, {"type": "memory", "name": "here"}, "source"))
    assert result.exit_code == 1
    assert checks(result)["newest"] is False
    assert checks(result)["read"] is True
    assert "cannot be an incremental column" in result.stderr


def test_an_error_of_several_checks_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("I am a letter, and longer than any header of a page is.")
    result = call("here", job_file(tmp_path, {"type": "sqlite", "path": "shop.db"}, "source"))
    assert result.exit_code == 1
    found = checks(result)
    assert list(found.values()).count(False) >= 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == len(set(errors))


def test_objects_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "files" / "orders").mkdir(parents=True)
    (tmp_path / "files" / "orders" / "a.bin").write_bytes(b"12345")
    (tmp_path / "connections.yaml").write_text(
        f"connections:\n  files: {{type: local, root: {tmp_path}/files, format: binary}}\n"
    )
    result = call("files", "--connections", tmp_path / "connections.yaml", "--table", "orders")
    assert result.exit_code == 0, result.output
    assert "5 of 5 bytes of a.bin" in result.stdout


def test_a_folder_without_objects_is_told(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    path = tmp_path / "job.json"
    one = {"type": "local", "root": "files", "format": "binary"}
    job = {"name": "j", "source": "a", "destination": "b", "tables": [{"source": "orders"}]}
    path.write_text(json.dumps(job | {"connections": {"a": one, "b": one | {"root": "out"}}}))
    result = call("a", path)
    assert result.exit_code == 1
    assert checks(result)["describe"] is False


# Names and secrets


def test_a_connection_that_is_not_there(tmp_path: Path) -> None:
    result = call("hree", job_file(tmp_path, {"type": "memory"}))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean here or there?" in result.stderr


def test_a_secret_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    job = job_file(tmp_path, {"type": "sqlite", "path": f"${{env:{SECRET}}}/shop.db"})
    result = call("there", job, "--write")
    assert result.exit_code == 1
    assert checks(result) == {"options": False}
    assert f"Set {SECRET}" in result.stderr


@pytest.mark.parametrize("exists", [True, False])
def test_a_secret_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    value = f"pw-{uuid.uuid4().hex}"
    monkeypatch.setenv(SECRET, value)
    if exists:
        (tmp_path / value).mkdir()
    path = f"{tmp_path}/${{env:{SECRET}}}/shop.db"
    result = call("there", job_file(tmp_path, {"type": "sqlite", "path": path}), "--write", "-v")
    assert result.exit_code == (0 if exists else 1)
    assert f"{SECRET} is set" in result.stdout
    assert value not in result.output


# As a destination


class Place(NamedTuple):
    """A destination, the checks of its write modes, and what lies there."""

    connection: dict[str, Any]
    modes: list[str]
    left: Callable[[], list[str]]


def _below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name != ".copyjob-lock"]


def _memory(request: pytest.FixtureRequest, folder: Path) -> Place:
    del request, folder
    name = f"trial-{uuid.uuid4()}"
    store = memory.store(name)

    def left() -> list[str]:
        return [*store.tables, *map(str, store.staged), *map(str, store.ledger)]

    return Place({"type": "memory", "name": name}, ["upsert", "overwrite"], left)


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> Place:
    del request

    def left() -> list[str]:
        with closing(sqlite3.connect(folder / "shop.db")) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema")]
            tables.remove("_copyjob_ledger")
            return [*tables, *map(str, db.execute("SELECT * FROM _copyjob_ledger"))]

    return Place({"type": "sqlite", "path": "shop.db"}, ["upsert", "overwrite"], left)


def _local(more: dict[str, Any]) -> Callable[[pytest.FixtureRequest, Path], Place]:
    def place(request: pytest.FixtureRequest, folder: Path) -> Place:
        del request
        options = {"type": "local", "root": "files"} | more
        return Place(options, ["overwrite"], lambda: _below(folder / "files"))

    return place


def _delta(request: pytest.FixtureRequest, folder: Path) -> Place:
    del request
    modes = ["upsert", "overwrite"]
    return Place({"type": "delta", "root": "lake"}, modes, lambda: _below(folder / "lake"))


def _bucket(request: pytest.FixtureRequest) -> tuple[LocalStack, str, Callable[[], list[str]]]:
    server: LocalStack = request.getfixturevalue("localstack")
    name = f"doctor-{uuid.uuid4()}"
    client = s3_client(server.endpoint)
    client.create_bucket(Bucket=name)
    request.getfixturevalue("monkeypatch").setenv(SECRET, server.secret_key)

    def left() -> list[str]:
        return [each["Key"] for each in client.list_objects_v2(Bucket=name).get("Contents", [])]

    return server, name, left


def _s3(more: dict[str, Any]) -> Callable[[pytest.FixtureRequest, Path], Place]:
    def place(request: pytest.FixtureRequest, folder: Path) -> Place:
        del folder
        server, name, left = _bucket(request)
        options = {
            "type": "s3",
            "bucket": name,
            "prefix": "a prefix/lake",
            "region": server.region,
            "endpoint_url": server.endpoint,
            "access_key_id": server.access_key,
            "secret_access_key": f"${{env:{SECRET}}}",
        }
        return Place(options | more, ["overwrite"], left)

    return place


def _delta_s3(request: pytest.FixtureRequest, folder: Path) -> Place:
    del folder
    server, name, left = _bucket(request)
    storage = server.storage_options | {
        "AWS_ACCESS_KEY_ID": f"${{env:{SECRET}}}",
        "AWS_SECRET_ACCESS_KEY": f"${{env:{SECRET}}}",
    }
    options = {"type": "delta", "root": f"s3://{name}/lake", "storage": storage}
    return Place(options, ["upsert", "overwrite"], left)


def _blob(more: dict[str, Any]) -> Callable[[pytest.FixtureRequest, Path], Place]:
    def place(request: pytest.FixtureRequest, folder: Path) -> Place:
        del folder
        azurite: Azurite = request.getfixturevalue("azurite")
        name = f"doctor-{uuid.uuid4()}"
        client = ContainerClient(azurite.blob_endpoint, name, azurite.key)
        request.addfinalizer(client.close)
        client.create_container()
        request.getfixturevalue("monkeypatch").setenv(SECRET, azurite.key)
        options = {
            "type": "azure_blob",
            "account_url": azurite.blob_endpoint,
            "container": name,
            "prefix": "lake",
            "account_key": f"${{env:{SECRET}}}",
        }
        return Place(options | more, ["overwrite"], lambda: list(client.list_blob_names()))

    return place


ROWS_PLACES = {
    "memory": _memory,
    "sqlite": _sqlite,
    "parquet": _local({}),
    "csv": _local({"format": "csv", "csv": {"header": False, "delimiter": ";", "null": "NULL"}}),
    "utf-16": _local({"format": "csv", "csv": {"encoding": "utf-16"}}),
    "jsonl": _local({"format": "jsonl", "types": {"theirs": "date"}}),
    "delta": _delta,
    "delta on s3": _delta_s3,
    "s3": _s3({}),
    "blob": _blob({}),
}
OBJECT_PLACES = {
    "local": _local({"format": "binary"}),
    "s3": _s3({"format": "binary"}),
    "blob": _blob({"format": "binary"}),
}


@pytest.mark.parametrize("name", ROWS_PLACES)
def test_rows_go_there_and_back_and_nothing_stays(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = ROWS_PLACES[name](request, tmp_path)
    result = call("there", job_file(tmp_path, place.connection), "--write")
    assert result.exit_code == 0, result.output
    wanted = ["options", "open to write", *TRIAL, *place.modes, "remove"]
    assert list(checks(result)) == wanted
    assert place.left() == []


@pytest.mark.parametrize("name", OBJECT_PLACES)
def test_objects_go_there_and_back_and_nothing_stays(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = OBJECT_PLACES[name](request, tmp_path)
    (tmp_path / "connections.json").write_text(json.dumps({"connections": {"x": place.connection}}))
    (tmp_path / "files").mkdir()
    result = call("x", "--connections", tmp_path / "connections.json", "--write")
    assert result.exit_code == 0, result.output
    assert list(checks(result))[-4:] == OF_OBJECTS
    assert place.left() == []


def test_a_type_that_is_refused_is_told(tmp_path: Path) -> None:
    result = call("there", job_file(tmp_path, {"type": "delta", "root": "lake"}), "--write")
    assert "not a_time: Delta has no type for a time of day" in result.stdout


def test_without_write_nothing_is_made(tmp_path: Path) -> None:
    result = call("there", job_file(tmp_path, {"type": "sqlite", "path": "shop.db"}))
    assert result.exit_code == 0, result.output
    assert list(checks(result)) == ["options", "ledger"]
    assert "Nothing was written: --write tries that" in result.stdout
    assert not (tmp_path / "shop.db").exists()


def test_the_ledger_of_the_job_is_found(tmp_path: Path) -> None:
    job = job_file(tmp_path, {"type": "delta", "root": "lake"})
    assert "nothing was committed to orders yet" in call("there", job).stdout
    assert CliRunner().invoke(main, ["run", str(job)]).exit_code == 0
    assert "orders is at sequence 1" in call("there", job).stdout


@pytest.fixture
def there(tmp_path: Path) -> Iterator[tuple[memory.MemoryStore, Path]]:
    """A destination, and a job that writes there."""
    store = memory.store("there")
    yield store, job_file(tmp_path, {"type": "memory", "name": "there"})
    store.clear()


def _lost(table: pa.Table) -> pa.Table:
    return table.slice(1)


def _doubled(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)])


def _changed(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("a_int64")
    return table.set_column(at, table.schema.field(at), pa.array([5] * len(table), pa.int64()))


@pytest.mark.parametrize("fault", [_lost, _doubled, _changed])
def test_a_system_that_gives_back_other_rows(
    fault: Callable[[pa.Table], pa.Table],
    there: tuple[memory.MemoryStore, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = MemorySource.read

    def faulty(self: MemorySource, *args: Any) -> Iterator[pa.RecordBatch]:
        yield from fault(pa.Table.from_batches(read(self, *args))).to_batches()

    monkeypatch.setattr(MemorySource, "read", faulty)
    result = call("there", there[1], "--write")
    assert result.exit_code == 1
    assert checks(result)["publish"] is True
    assert checks(result)["read back"] is False
    assert checks(result)["remove"] is True
    assert there[0].tables == {}


def test_a_publish_that_is_made_twice(
    there: tuple[memory.MemoryStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that forgets lets a lost answer double the rows."""
    publish = MemoryDestination.publish

    def forgetful(self: MemoryDestination, *args: Any) -> Any:
        there[0].ledger.clear()
        return publish(self, *args)

    monkeypatch.setattr(MemoryDestination, "publish", forgetful)
    result = call("there", there[1], "--write")
    assert result.exit_code == 1
    assert checks(result)["read back"] is True
    assert checks(result)["publish again"] is False
    assert there[0].tables == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_is_removed_all_the_same(
    number: signal.Signals,
    there: tuple[memory.MemoryStore, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(self: MemorySource, *_: Any) -> Any:
        del self
        os.kill(os.getpid(), number)
        raise AssertionError("the signal was not heard")

    monkeypatch.setattr(MemorySource, "describe", stopped)
    result = call("there", there[1], "--write")
    assert result.exit_code == 130
    assert checks(result)["remove"] is True
    assert there[0].tables == {}


def test_a_store_that_replaces_what_it_must_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalStore.put

    def careless(self: LocalStore, key: str, data: bytes, *_: Any, **__: Any) -> Any:
        return put(self, key, data)

    monkeypatch.setattr(LocalStore, "put", careless)
    (tmp_path / "files").mkdir()
    (tmp_path / "connections.yaml").write_text(
        "connections:\n  files: {type: local, root: files, format: binary}\n"
    )
    result = call("files", "--connections", tmp_path / "connections.yaml", "--write")
    assert result.exit_code == 1
    assert checks(result)["put again"] is False
    assert checks(result)["remove"] is True
    assert _below(tmp_path / "files") == []


def test_nothing_is_made_that_could_not_be_removed(
    there: tuple[memory.MemoryStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copy_core.connectors.discard._DISCARD", {})
    result = call("there", there[1], "--write")
    assert result.exit_code == 1
    assert checks(result) == {"options": True, "open to write": False}
    assert there[0].tables == {}


@pytest.mark.parametrize(
    "name", ["orders", "copyjob_doctor_", "copyjob_doctor_12/../orders", "my_copyjob_doctor_12"]
)
def test_only_a_table_on_trial_is_removed(name: str, here: memory.MemoryStore) -> None:
    here.put(name, ROWS)
    target = Target(job="j", table="t", object=name, sequence=1, write="append", columns=())
    with pytest.raises(ConfigError) as refused:
        discard(MemoryOptions(type="memory", name="here"), target)
    assert refused.value.where["table"] == name
    assert here.read(name) is not None


# The rows

IDS = st.lists(st.integers(0, 50), unique=True, max_size=8)


@given(IDS, st.lists(st.tuples(st.sampled_from(["append", "upsert", "overwrite"]), IDS)))
def test_what_a_table_holds_after_each_mode(
    first: list[int], writes: list[tuple[WriteMode, list[int]]]
) -> None:
    held = doctor_rows.of(sorted(first))
    model = [(key, 0) for key in first]
    for turn, (write, ids) in enumerate(writes, 1):
        held = doctor_rows.after(write, held, doctor_rows.of(ids, turn))
        kept = [] if write == "overwrite" else model
        if write == "upsert":
            kept = [pair for pair in model if pair[0] not in ids]
        model = kept + [(key, turn) for key in ids]
    wanted = [doctor_rows.of([key], turn).to_pylist()[0] for key, turn in sorted(model)]
    assert sorted(map(repr, held.to_pylist())) == sorted(map(repr, wanted))


@given(st.lists(st.integers(0, 50), unique=True, min_size=1, max_size=8), st.data())
def test_any_value_that_differs_is_found(ids: list[int], data: st.DataObject) -> None:
    sent = doctor_rows.of(sorted(ids))
    doctor_rows.compare(
        sent, sent.select(sent.column_names[::-1]).take(list(range(len(ids)))[::-1])
    )
    row = data.draw(st.integers(0, len(ids) - 1))
    column = data.draw(st.sampled_from(sent.column_names[1:]))
    values = sent[column].to_pylist()
    others = [v for v in doctor_rows.of(range(3))[column].to_pylist() if v != values[row]]
    values[row] = data.draw(st.sampled_from(others))
    at = sent.schema.get_field_index(column)
    array = pa.array(values, sent.schema.field(column).type)
    with pytest.raises(TerminalError) as differs:
        doctor_rows.compare(sent, sent.set_column(at, sent.schema.field(column), array))
    assert differs.value.where["column"] == column


def test_a_column_that_did_not_come_back_is_found() -> None:
    sent = doctor_rows.of([1, 2])
    with pytest.raises(TerminalError) as differs:
        doctor_rows.compare(sent, sent.drop_columns(["a_date"]))
    assert differs.value.where["column"] == "a_date"


def test_a_value_that_does_not_fit_any_more_is_found() -> None:
    sent = doctor_rows.of([1])
    at = sent.schema.get_field_index("a_int8")
    with pytest.raises(TerminalError):
        doctor_rows.compare(sent, sent.set_column(at, "a_int8", pa.array(["many"])))

"""What Delta tables ask of a writer: types, names, partitions, constraints, features."""

from __future__ import annotations

import base64
import errno
import json
import string
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from copy_core.connectors import parquet_layout
from copy_core.connectors.delta import DeltaDestination, writing
from copy_core.connectors.delta.faults import translate
from copy_core.connectors.options import DeltaOptions
from copy_core.errors import ConfigError, CopyJobError, TerminalError
from copy_core.job import WriteMode
from tests.unit.delta_lake import Lake, aim, batches, commit, numbers

MODES = ["append", "upsert", "overwrite"]
ALL_MODES = [*MODES, "overwrite_partitions"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def edit_log(lake: Lake, kind: str, change: dict[str, Any]) -> None:
    """Puts `change` into the first action of a kind in a table's first commit."""
    log = Path(lake.path(), "_delta_log", f"{0:020}.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    next(action[kind] for action in actions if kind in action).update(change)
    log.write_text("\n".join(json.dumps(action) for action in actions))


def regions(rows: pa.Table) -> pa.Table:
    names = [f"a/b %{n % 3}" if n % 3 else None for n in rows["id"].to_pylist()]
    return rows.append_column("region", pa.array(names, pa.string()))


@pytest.mark.parametrize("write", ALL_MODES)
def test_a_partitioned_table_is_written_by_partition(lake: Lake, write: WriteMode) -> None:
    write_deltalake(lake.path(), regions(numbers(6)), partition_by=["region"])
    target = aim(regions(numbers(1)), 1, write)
    published = lake.load(target, regions(numbers(4, start=3, value="new")))
    lake.to.clean(target)
    assert published.rows == 4
    assert lake.to.publish(commit(target, ())) == published
    kept = {
        "append": [0, 1, 2, 3, 3, 4, 4, 5, 5, 6],
        "upsert": range(7),
        "overwrite": range(3, 7),
        "overwrite_partitions": range(3, 7),
    }
    assert sorted(row["id"] for row in lake.rows()) == list(kept[write])
    assert lake.table().metadata().partition_columns == ["region"]
    rows = lake.read(["region", "id"])
    wanted = regions(numbers(7))["region"].to_pylist()
    assert all(row["region"] == wanted[row["id"]] for row in rows.to_pylist())
    assert set(lake.read(["region"])["region"].to_pylist()) <= set(wanted)


@pytest.mark.parametrize("write", MODES)
def test_a_constraint_of_the_table_holds(lake: Lake, write: WriteMode) -> None:
    write_deltalake(lake.path(), numbers(3))
    lake.table().alter.add_constraint({"small": "id < 100"})
    lake.load(aim(numbers(1), 1, write), numbers(3, start=3))
    with pytest.raises(TerminalError):
        lake.load(aim(numbers(1), 2, write), numbers(3, start=99))
    assert max(row["id"] for row in lake.rows()) == 5
    last = lake.to.last_commit("job", "source", "t")
    assert last is not None
    assert last.sequence == 1


def test_an_upsert_tells_a_change_data_feed_what_changed(lake: Lake) -> None:
    DeltaTable.create(
        lake.path(), numbers(1).schema, configuration={"delta.enableChangeDataFeed": "true"}
    )
    lake.load(aim(numbers(1), 1), numbers(3))
    lake.load(aim(numbers(1), 2, "upsert"), numbers(2, start=2, value="new"))
    feed = pa.table(lake.table().load_cdf(starting_version=2)).to_pylist()
    changes = sorted((row["id"], row["_change_type"]) for row in feed)
    assert changes == [(2, "update_postimage"), (2, "update_preimage"), (3, "insert")]


def deleting(rows: list[int]) -> dict[str, Any]:
    """The deletion vector of some rows, as the Delta protocol writes one into the log itself."""
    values = struct.pack(f"<{len(rows)}H", *rows)
    roaring = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + values
    data = struct.pack("<IQI", 1681511377, 1, 0) + roaring
    padded = data + bytes(-len(data) % 4)
    python, z85 = (
        string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~",
        string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#",
    )
    text = base64.b85encode(padded).decode().translate(str.maketrans(python, z85))
    return {
        "storageType": "i",
        "pathOrInlineDv": text,
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }


@pytest.mark.parametrize("feature", ["columnMapping", "deletionVectors", "madeUp"])
def test_a_table_with_a_feature_that_changes_its_files_is_not_misread(
    lake: Lake, feature: str
) -> None:
    write_deltalake(lake.path(), numbers(3))
    if feature == "columnMapping":
        edit_log(lake, "protocol", {"minReaderVersion": 2, "minWriterVersion": 5})
        fields = [
            {
                "name": name,
                "type": kind,
                "nullable": True,
                "metadata": {
                    "delta.columnMapping.id": number,
                    "delta.columnMapping.physicalName": name,
                },
            }
            for number, (name, kind) in enumerate([("id", "long"), ("v", "string")], 1)
        ]
        schema = json.dumps({"type": "struct", "fields": fields})
        mapped = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
        edit_log(lake, "metaData", {"configuration": mapped, "schemaString": schema})
    else:
        features = {"readerFeatures": [feature], "writerFeatures": [feature]}
        edit_log(lake, "protocol", {"minReaderVersion": 3, "minWriterVersion": 7, **features})
    if feature == "deletionVectors":
        edit_log(lake, "add", {"deletionVector": deleting([1])})
    for look in (
        lambda: lake.source.describe("t"),
        lambda: lake.to.prepare(aim(numbers(1))),
        lambda: lake.load(aim(numbers(1)), numbers(1)),
    ):
        with pytest.raises(ConfigError) as refused:
            look()
        assert feature.lower() in str(refused.value).lower()
        assert refused.value.code == "table-feature"


def test_deletion_vectors_that_nothing_uses_are_no_hindrance(lake: Lake) -> None:
    write_deltalake(lake.path(), numbers(3))
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    edit_log(lake, "protocol", {"minReaderVersion": 3, "minWriterVersion": 7, **features})
    assert lake.read(["id"])["id"].to_pylist() == [0, 1, 2]


def test_an_append_only_table_takes_nothing_but_appends(lake: Lake) -> None:
    DeltaTable.create(lake.path(), numbers(1).schema, configuration={"delta.appendOnly": "true"})
    lake.load(aim(numbers(1), 1), numbers(3))
    for write in ("upsert", "overwrite"):
        with pytest.raises(ConfigError, match="appendOnly"):
            lake.to.prepare(aim(numbers(1), 2, write))


def test_a_table_that_forgets_transactions_cannot_keep_the_ledger(lake: Lake) -> None:
    forgets = {"delta.setTransactionRetentionDuration": "interval 1 days"}
    DeltaTable.create(lake.path(), numbers(1).schema, configuration=forgets)
    with pytest.raises(ConfigError, match="setTransactionRetentionDuration"):
        lake.to.prepare(aim(numbers(1)))


WIDER = [
    (pa.int32(), pa.int64(), "int64"),
    (pa.int64(), pa.float64(), "float64"),
    (pa.float32(), pa.float64(), "float64"),
    (pa.decimal128(9, 2), pa.decimal128(12, 2), "decimal(12,2)"),
    (pa.decimal128(9, 2), pa.decimal128(9, 4), "decimal(9,4)"),
    (pa.date32(), pa.timestamp("us"), "timestamp_utc"),
    (pa.int64(), pa.string(), "string"),
]


@pytest.mark.parametrize("write", ALL_MODES)
@pytest.mark.parametrize(("there", "arriving", "name"), WIDER, ids=str)
def test_a_column_that_became_wider_is_refused_by_its_name(
    lake: Lake, there: pa.DataType, arriving: pa.DataType, name: str, write: WriteMode
) -> None:
    """Delta can widen a type only by a feature that not every reader has."""
    old = regions(numbers(3)).append_column("n", pa.nulls(3, there))
    new = regions(numbers(3)).append_column("n", pa.nulls(3, arriving))
    lake.load(aim(old, 1, partition_by=("region",)), old)
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(new, 2, write, drift="evolve"))
    assert (refused.value.code, refused.value.where["column"]) == ("incompatible-type", "n")
    assert f"cannot hold {name}" in refused.value.what
    assert "`cast: " in refused.value.fix


def test_a_table_whose_types_were_widened_is_not_misread(lake: Lake) -> None:
    write_deltalake(lake.path(), numbers(3))
    features = {"readerFeatures": ["typeWidening"], "writerFeatures": ["typeWidening"]}
    edit_log(lake, "protocol", {"minReaderVersion": 3, "minWriterVersion": 7, **features})
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(numbers(1)))
    assert refused.value.code == "table-feature"
    assert "typewidening" in str(refused.value).lower()


def test_a_naive_time_is_written_as_utc_again_and_again(lake: Lake) -> None:
    naive = pa.table({"id": [1], "at": pa.array([1_700_000_000_123_456], pa.timestamp("us"))})
    for sequence in (1, 2):
        lake.load(aim(naive, sequence), naive)
    schema = pa.schema(lake.table().schema().to_arrow())
    assert schema.field("at").type == pa.timestamp("us", "UTC")
    assert lake.table().protocol().min_reader_version == 1
    times = lake.table().to_pyarrow_table()["at"].cast(pa.int64()).to_pylist()
    assert times == [1_700_000_000_123_456] * 2


def test_a_table_with_naive_times_keeps_them(lake: Lake) -> None:
    naive = pa.table({"id": [1], "at": pa.array([1_700_000_000_123_456], pa.timestamp("us"))})
    write_deltalake(lake.path(), naive)
    lake.load(aim(naive), naive)
    assert lake.read(["at"])["at"].to_pylist() == naive["at"].to_pylist() * 2


def test_a_time_of_day_is_refused_with_the_cast(lake: Lake) -> None:
    rows = pa.table({"id": [1], "clock": pa.array([1], pa.time64("us"))})
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(rows))
    assert refused.value.where["column"] == "clock"
    assert "cast: string" in refused.value.fix
    write_deltalake(lake.path(), numbers(1))
    assert lake.to.prepare(aim(rows, drift="ignore")).names == ["id"]


def test_names_that_differ_only_in_case_are_refused(lake: Lake) -> None:
    both = pa.table({"id": [1], "Name": ["a"], "name": ["b"]})
    with pytest.raises(ConfigError, match="case"):
        lake.to.prepare(aim(both))
    write_deltalake(lake.path(), pa.table({"id": [1], "NAME": ["a"]}))
    with pytest.raises(ConfigError, match="case"):
        lake.to.prepare(aim(both.select(["id", "name"])))


@pytest.mark.parametrize(
    "name", ["", "..", "../t", "a/../../t", "/etc", "a//b", "a/", "t/_delta_log", "a\\b", "a\nb"]
)
def test_a_name_cannot_leave_the_root(lake: Lake, name: str) -> None:
    for use in (
        lambda: lake.to.prepare(aim(numbers(1), object=name)),
        lambda: lake.to.clean(aim(numbers(1), object=name)),
        lambda: lake.to.last_commit("job", "source", name),
        lambda: lake.source.describe(name),
    ):
        with pytest.raises(ConfigError) as refused:
            use()
        assert refused.value.code == "bad-name"


def test_a_link_does_not_lead_out_of_the_root(lake: Lake, tmp_path: Path) -> None:
    outside = Lake(tmp_path / "outside")
    outside.load(aim(numbers(1)), numbers(1))
    lake.root.mkdir()
    (lake.root / "way out").symlink_to(outside.root)
    with pytest.raises(ConfigError) as refused:
        lake.source.describe("way out/t")
    assert refused.value.code == "bad-name"


def test_tables_lie_at_any_depth(lake: Lake) -> None:
    for name in ("sales/2026/orders", "orders", "_hidden/t"):
        lake.load(aim(numbers(1), object=name), numbers(1))
    assert lake.source.objects() == ["orders", "sales/2026/orders"]
    assert lake.read(["id"], "sales/2026/orders").num_rows == 1


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "nowhere")
    with pytest.raises(ConfigError) as missing:
        lake.source.objects()
    assert missing.value.code == "root-missing"


def test_a_root_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lake = Lake(tmp_path / "file")
    with pytest.raises(ConfigError) as refused:
        lake.to.prepare(aim(numbers(1)))
    assert refused.value.code == "access-denied"


def test_full_files_are_followed_by_others(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_FILE_BYTES", 2000)
    monkeypatch.setattr(parquet_layout, "GROUP_ROWS", 100)
    published = lake.load(aim(numbers(1)), numbers(1000))
    assert published.files == len(lake.files()) > 2
    assert published.bytes == sum(Path(lake.path(), file).stat().st_size for file in lake.files())
    assert [row["id"] for row in lake.rows()] == sorted(range(1000), key=lambda n: f"{{'id': {n}")


def test_an_error_while_staging_leaves_no_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_FILE_BYTES", 2000)
    monkeypatch.setattr(parquet_layout, "GROUP_ROWS", 100)
    target = aim(numbers(1))
    schema = lake.to.prepare(target)
    broken = ValueError("the source broke")

    def half() -> Any:
        yield from batches(numbers(500), schema)
        raise broken

    with pytest.raises(ValueError, match="broke") as raised:
        lake.to.stage(target, 0, half())
    assert raised.value is broken
    assert lake.files() == []


@pytest.mark.parametrize(
    ("error", "recovery", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "terminal", "disk-full"),
        (PermissionError(errno.EACCES, "Permission denied"), "config", "access-denied"),
        (OSError("Error - Server returned non-2xx status code: 503 x"), "transient", "store-busy"),
        (OSError("Client error with status 429 Too Many Requests"), "transient", "store-busy"),
        (OSError("non-2xx status code: 403 Forbidden: <Code>x</Code>"), "config", "access-denied"),
        (OSError("error sending request for url (http://x)"), "transient", "store-busy"),
        (OSError("non-2xx status code: 404: ContainerNotFound"), "config", "root-missing"),
        (CommitFailedError("Failed to commit transaction: 0"), "transient", "commit-conflict"),
        (DeltaError("something else"), "terminal", "delta"),
    ],
    ids=str,
)
def test_what_recovers_from_an_error(error: Exception, recovery: str, code: str) -> None:
    found = translate(error)
    assert (found.recovery, found.code) == (recovery, code)


def test_a_signed_address_is_not_shown() -> None:
    text = "error for url (https://a.blob.core.windows.net/c?sv=1&sig=s3cr3t%3D&se=2)"
    assert "s3cr3t" not in str(translate(OSError(text)))


def test_a_cloud_that_does_not_answer_is_worth_another_try() -> None:
    storage = {
        "endpoint": "http://127.0.0.1:9",
        "region": "x",
        "skip_signature": "true",
        "allow_http": "true",
        "max_retries": "0",
        "retry_timeout": "1s",
    }
    options = DeltaOptions(type="delta", root="s3://bucket/lake", storage=storage)
    with pytest.raises(CopyJobError) as refused:
        DeltaDestination(options).last_commit("job", "source", "t")
    assert refused.value.recovery == "transient"


def test_an_account_that_is_not_named_is_a_matter_of_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    storage = {"azure_skip_signature": "true"}  # or somebody would have to sign in first
    options = DeltaOptions(type="delta", root="az://container/lake", storage=storage)
    with pytest.raises(ConfigError, match="ccount"):
        DeltaDestination(options).prepare(aim(numbers(1)))

"""Fabric lakehouses: addresses, names, signing in, and what OneLake does otherwise than Blob."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from azure.storage.blob import ContainerClient
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.base import Destination, Source
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.names import legal
from copy_core.connectors.delta.onelake import lake_of, root
from copy_core.connectors.options import FabricLakehouseOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.errors import ConfigError, CopyJobError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Published, Slice, Target
from tests.conformance.onelake import OneLake, onelake
from tests.servers import Azurite
from tests.unit.delta_lake import aim, batches, commit, numbers

WORKSPACE_ID = "6a1e0b0c-1111-2222-3333-444455556666"
LAKEHOUSE_ID = "7A1E0B0C-1111-2222-3333-444455556666"


def options(**more: Any) -> FabricLakehouseOptions:
    given = {"workspace": "sales", "lakehouse": "shop", "schemas": False, **more}
    return FabricLakehouseOptions(type="fabric_lakehouse", **given)


class Workspace:
    """A workspace of its own in what stands for OneLake."""

    def __init__(self, azurite: Azurite, lake: OneLake) -> None:
        self.azurite, self.lake, self.name = azurite, lake, f"ws-{uuid.uuid4()}"
        store = ContainerClient(azurite.blob_endpoint, self.name, credential=azurite.key)
        with store:
            store.create_container()

    def options(self, **more: Any) -> FabricLakehouseOptions:
        return options(workspace=self.name, auth="managed_identity", **more)

    def to(self, **more: Any) -> Destination:
        return open_destination(self.options(**more))

    def source(self, **more: Any) -> Source:
        return open_source(self.options(**more))

    def table(self, path: str) -> DeltaTable:
        """A table, opened past the stand-in."""
        return DeltaTable(self.url(path), storage_options=self.azurite.storage_options)

    def url(self, path: str) -> str:
        return f"az://{self.name}/shop.Lakehouse/Tables/{path}"


@pytest.fixture(scope="module")
def lake(azurite: Azurite) -> Iterator[OneLake]:
    with onelake(azurite) as lake:
        yield lake


@pytest.fixture
def workspace(azurite: Azurite, lake: OneLake) -> Workspace:
    return Workspace(azurite, lake)


@pytest.fixture
def own(azurite: Azurite) -> Iterator[Workspace]:
    """A workspace in a stand-in of its own, to be changed."""
    with onelake(azurite) as lake:
        yield Workspace(azurite, lake)


def load(to: Destination, target: Target, rows: pa.Table) -> Published:
    schema = to.prepare(target)
    return to.publish(commit(target, [to.stage(target, 0, batches(rows, schema))]))


# The address


@pytest.mark.parametrize(
    ("workspace", "lakehouse", "address"),
    [
        ("sales", "shop", "sales@onelake.dfs.fabric.microsoft.com/shop.Lakehouse/Tables"),
        ("sales", "shop.Lakehouse", "sales@onelake.dfs.fabric.microsoft.com/shop.Lakehouse/Tables"),
        (
            WORKSPACE_ID,
            LAKEHOUSE_ID,
            f"{WORKSPACE_ID}@onelake.dfs.fabric.microsoft.com/{LAKEHOUSE_ID}/Tables",
        ),
    ],
)
def test_the_address_of_a_lakehouse(workspace: str, lakehouse: str, address: str) -> None:
    assert root(options(workspace=workspace, lakehouse=lakehouse)) == f"abfss://{address}"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"workspace": WORKSPACE_ID}, "both be names, or both ids"),
        ({"lakehouse": LAKEHOUSE_ID}, "both be names, or both ids"),
        ({"workspace": "my sales"}, "give the ids"),
        ({"workspace": "a@b"}, "give the ids"),
        ({"lakehouse": "a/../b"}, "give the ids"),
        ({"auth": "service_principal", "client_id": "a"}, "needs tenant_id and client_secret"),
        ({"tenant_id": "t"}, "tenant_id has no use"),
        ({"client_secret": "hunter2"}, "is a secret"),
    ],
)
def test_options_that_cannot_be(more: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        options(**more)
    assert "hunter2" not in str(refused.value.args)


def test_a_name_that_only_the_environment_knows_is_checked_when_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKSPACE", "other@evil.example/x")
    with pytest.raises(ConfigError) as refused:
        open_source(options(workspace="${env:WORKSPACE}"))
    assert refused.value.code == "bad-name"


# Tables


def test_tables_of_a_lakehouse_with_schemas(workspace: Workspace) -> None:
    to, source = workspace.to(schemas=True), workspace.source(schemas=True)
    for name in ("orders", "sales.orders"):
        load(to, aim(numbers(1), object=name), numbers(3))
    assert workspace.table("dbo/orders").version() == 0
    assert workspace.table("sales/orders").version() == 0
    assert source.objects() == ["dbo.orders", "sales.orders"]
    for name in ("orders", "dbo.orders", "sales.orders"):
        assert source.describe(name).rows == 3
    with pytest.raises(ConfigError, match="sales") as missing:
        source.describe("sales.order")
    assert missing.value.code == "table-missing"
    # In a lakehouse without schemas these would be no tables.
    assert workspace.source().objects() == []


def test_tables_of_a_lakehouse_without_schemas(workspace: Workspace) -> None:
    to, source = workspace.to(), workspace.source()
    load(to, aim(numbers(1), object="orders"), numbers(3))
    assert workspace.table("orders").version() == 0
    assert source.objects() == ["orders"]
    read = source.read(Slice(object="orders", columns=("id",)), 10)
    assert [n for batch in read for n in batch["id"].to_pylist()] == [0, 1, 2]
    assert workspace.source(schemas=True).objects() == []


@pytest.mark.parametrize(
    "name", ["a b", "sales/orders", "a.b.c", ".", "..", "a-b", "Zoë", "x" * 129]
)
@pytest.mark.parametrize("schemas", [True, False])
def test_a_table_that_fabric_would_not_register_is_refused(
    workspace: Workspace, name: str, schemas: bool
) -> None:
    with pytest.raises(ConfigError) as refused:
        workspace.to(schemas=schemas).prepare(aim(numbers(1), object=name))
    assert refused.value.code == "bad-name"
    assert name in str(refused.value)


# Columns


def odd(rows: pa.Table) -> pa.Table:
    return rows.rename_columns(["order id", "v=(1)"])


def test_a_column_that_the_endpoint_would_not_show_is_refused_by_name(workspace: Workspace) -> None:
    with pytest.raises(ConfigError) as refused:
        workspace.to().prepare(aim(odd(numbers(1))))
    assert (refused.value.code, refused.value.where["column"]) == ("bad-name", "order id")
    assert "names: replace" in refused.value.fix


def test_columns_are_renamed_wherever_they_are_spoken_of(workspace: Workspace) -> None:
    to = workspace.to(names="replace")
    more = {"keys": ("order id",), "order_by": "v=(1)", "partition_by": ("v=(1)",)}
    for sequence in (1, 2):
        target = aim(odd(numbers(1)), sequence, "upsert", **more)
        assert to.prepare(target).names == ["order id", "v=(1)"]
        load(to, target, odd(numbers(3, start=sequence)))
        to.clean(target)
    found = workspace.table("t")
    assert found.metadata().partition_columns == ["v__1_"]
    rows = found.to_pyarrow_table().select(["order_id", "v__1_"]).sort_by("order_id")
    assert rows.to_pylist() == [{"order_id": n, "v__1_": f"v{n}"} for n in range(1, 5)]


NAMES = st.lists(st.text("aB_ ,=(\n", min_size=1, max_size=4), min_size=1, unique=True)


@given(NAMES)
def test_no_two_columns_become_one(names: list[str]) -> None:
    rows = pa.table({name: pa.array([], pa.int64()) for name in names})
    target = aim(rows, keys=(names[0],))
    if len({re.sub("[ ,=(\n]", "_", name).lower() for name in names}) < len(names):
        with pytest.raises(ConfigError, match="would both become"):
            legal(target, "replace")
        return
    named = legal(target, "replace")
    new = [name for name, _, _ in named.columns]
    assert len({name.lower() for name in new}) == len(names)
    assert not set("".join(new)) & set(" ,=(\n")
    assert named.keys == (new[0],)
    assert legal(named, "refuse") == named


def test_names_that_become_one_are_refused() -> None:
    rows = pa.table({"a b": [1], "a_b": [2]})
    with pytest.raises(ConfigError, match="both become 'a_b'"):
        legal(aim(rows), "replace")


def test_a_naive_time_does_not_vanish_in_the_endpoint(workspace: Workspace) -> None:
    rows = pa.table({"id": [1], "at": pa.array([1], pa.timestamp("us"))})
    load(workspace.to(), aim(rows), rows)
    fields = {field.name: str(field.type) for field in workspace.table("t").schema().fields}
    assert fields["at"] == 'PrimitiveType("timestamp")'


# Signing in


def test_a_token_that_runs_out_is_followed_by_another(own: Workspace) -> None:
    own.lake.hasten(30)
    to = own.to()
    load(to, aim(numbers(1)), numbers(3))
    before = own.lake.tokens()
    assert to.last_commit("job", "source", "t") is not None
    assert own.lake.tokens() > before


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "ours"),
    [
        (403, "Forbidden", "User is not authorized", ConfigError, "access-denied"),
        (404, "WorkspaceNotFound", "Workspace 'x' is not found", ConfigError, "root-missing"),
        (404, "ArtifactNotFound", "Artifact 'x' is not found", ConfigError, "root-missing"),
        (
            401,
            "InvalidAuthenticationInfo",
            "Lifetime validation failed. The token is expired.",
            TransientError,
            "token-expired",
        ),
    ],
)
def test_what_onelake_refuses(
    own: Workspace, status: int, code: str, message: str, kind: type[CopyJobError], ours: str
) -> None:
    own.lake.refuse(status, code, message)
    for use in uses(own):
        with pytest.raises(kind) as refused:
            use()
        assert refused.value.code == ours
        assert "Bearer" not in str(refused.value)
        assert "-of-onelake" not in str(refused.value)


def test_a_token_that_runs_out_before_a_request_whose_answer_has_no_body(own: Workspace) -> None:
    """HEAD has none, so nobody says why."""
    files = lake_of(own.options()).files("t")
    own.lake.refuse(401, "InvalidAuthenticationInfo", "The token is expired.")
    with pytest.raises(TransientError) as refused, faults():
        files.open_input_file("_delta_log/_copyjob/1-a.json")
    assert refused.value.code == "token-expired"


def uses(workspace: Workspace) -> list[Callable[[], object]]:
    return [
        workspace.source().objects,
        lambda: workspace.source().describe("t"),
        lambda: workspace.to().prepare(aim(numbers(1))),
        lambda: workspace.to().last_commit("job", "source", "t"),
    ]


def test_an_identity_that_is_not_there_is_a_matter_of_configuration(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "another's")
    for use in uses(own):
        with pytest.raises(ConfigError) as refused:
            use()
        assert refused.value.code == "login-failed"


# What OneLake does otherwise


def test_what_is_left_over_is_deleted_though_not_in_batches(workspace: Workspace) -> None:
    to = workspace.to()
    target = aim(numbers(1))
    schema = to.prepare(target)
    to.stage(target, 0, batches(numbers(3), schema))
    load(to, target, numbers(3))
    before = len(workspace.lake.requests())
    to.clean(target)
    to.clean(target)
    asked = [request.partition(" ")[0] for request in workspace.lake.requests()[before:]]
    assert asked.count("DELETE") == 1
    assert workspace.table("t").to_pyarrow_table().num_rows == 3


def test_a_delete_that_fails_is_told(own: Workspace) -> None:
    files = own.to()
    target = aim(numbers(1))
    schema = files.prepare(target)

    def refusing() -> Any:
        yield from batches(numbers(3), schema)
        own.lake.refuse(503, "ServerBusy", "The server is busy.")

    with pytest.raises(TransientError):
        files.stage(target, 0, refusing())


def test_a_commit_leaves_old_logs_alone(workspace: Workspace) -> None:
    """delta-rs would delete them in a batch, and fail after the commit was made."""
    DeltaTable.create(
        workspace.url("t"),
        numbers(1).schema,
        storage_options=workspace.azurite.storage_options,
        configuration={
            "delta.checkpointInterval": "1",
            "delta.logRetentionDuration": "interval 0 seconds",
        },
    )
    to = workspace.to()
    wider = numbers(3).append_column("more", pa.array([1, 2, 3]))
    modes: list[WriteMode] = ["append", "upsert", "overwrite", "append"]
    for sequence, write in enumerate(modes, 1):
        rows = wider if sequence == 4 else numbers(3)
        load(to, aim(rows, sequence, write), rows)
    assert workspace.table("t").to_pyarrow_table().num_rows == 6
    last = to.last_commit("job", "source", "t")
    assert last is not None
    assert last.sequence == 4

"""The files of a Fabric lakehouse, as connections use them: rows in each format, files as they are,
what `copyjob doctor` says, and what OneLake refuses. What the store does is in `test_stores`.

OneLake cannot be had here; `onelake` tells what stands for it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from click.testing import CliRunner

from copy_core.cli import main
from copy_core.connectors.options import FabricLakehouseFilesOptions
from copy_core.connectors.registry import open_destination, open_source
from copy_core.errors import ConfigError, CopyJobError
from copy_core.model import Slice
from tests.conformance.destination_kit import DestinationSuite
from tests.conformance.local_files import FilesRig
from tests.conformance.onelake import OneLake, onelake
from tests.conformance.test_local_files import ParquetDestinationRig
from tests.conformance.test_store_files import looked_at
from tests.matrix import cells, files
from tests.matrix.systems import System, lakehouses, stores
from tests.servers import Azurite, LocalStack

ROOT = "shop.Lakehouse/Files/a prefix/lake"


@pytest.fixture(scope="module", autouse=True)
def lake(azurite: Azurite) -> Iterator[OneLake]:
    with onelake(azurite) as lake:
        yield lake


def options(lake: OneLake, **more: Any) -> FabricLakehouseFilesOptions:
    """A connection to the lakehouse `shop` in a new workspace."""
    workspace = f"ws-{uuid.uuid4()}"
    lake.create(workspace)
    given = {"workspace": workspace, "lakehouse": "shop", "auth": "managed_identity", **more}
    return FabricLakehouseFilesOptions.model_validate({"type": "fabric_lakehouse_files", **given})


# Rows


class InLakehouse(FilesRig):
    """Files of a lakehouse, looked at past the stand-in."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.given = options(request.getfixturevalue("lake"), prefix="a prefix/lake")
        azurite: Azurite = request.getfixturevalue("azurite")
        self.client = ContainerClient(azurite.blob_endpoint, self.given.workspace, azurite.key)

    def close(self) -> None:
        self.client.close()

    @property
    def options(self) -> FabricLakehouseFilesOptions:
        given = {**self.given.model_dump(exclude_defaults=True), **self.connection}
        return FabricLakehouseFilesOptions.model_validate(given)

    def sent(self, path: Path) -> None:
        name = f"{ROOT}/{path.relative_to(self.root).as_posix()}"
        self.client.upload_blob(name, path.read_bytes(), overwrite=True)

    def keys(self) -> list[str]:
        return [name.removeprefix(f"{ROOT}/") for name in self.client.list_blob_names()]

    def fetched(self, key: str) -> Path:
        return looked_at(self.folder, key, self.client.download_blob(f"{ROOT}/{key}").readall())

    def drop(self, key: str) -> None:
        self.client.delete_blob(f"{ROOT}/{key}")


class LakehouseDestinationRig(ParquetDestinationRig, InLakehouse):
    pass


class TestDestination(DestinationSuite):
    """What every write mode does; what each does besides is tried on the other stores."""

    rig_class = LakehouseDestinationRig


def system(azurite: Azurite, form: str = "parquet") -> System:
    return next(each for each in lakehouses(azurite, form) if each.files)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("parquet", "incremental append"),
        ("csv", "full overwrite"),
        ("jsonl", "full append"),
    ],
)
def test_rows_from_and_to_files(tmp_path: Path, azurite: Azurite, form: str, mode: str) -> None:
    place = system(azurite, form)
    assert cells.cell(tmp_path, place, place, mode).outcome == "ok"


def test_what_spark_writes_beside_its_files_is_passed_over(lake: OneLake, azurite: Azurite) -> None:
    given = options(lake, format="csv")
    folder = "shop.Lakehouse/Files/t/year=2026"
    with ContainerClient(azurite.blob_endpoint, given.workspace, azurite.key) as client:
        client.upload_blob(f"{folder}/part-0.csv", b"id\n1\n2\n")
        client.upload_blob("shop.Lakehouse/Files/t/_SUCCESS", b"")
        client.upload_blob(f"{folder}/_started_5", b"{}")
        client.upload_blob(f"{folder}/.part-0.csv.crc", b"crc")
    with open_source(given) as source:
        info = source.describe("t")
        read = source.read(Slice(object="t", columns=("id", "year")), 10)
        found = [row for batch in read for row in batch.to_pylist()]
    assert info.schema.names == ["id", "year"]
    assert [row["id"] for row in found] == [1, 2]


# Files as they are


@pytest.mark.parametrize(("way", "mode"), [("there", "incremental"), ("back", "overwrite")])
def test_files_to_s3_and_back(
    tmp_path: Path, azurite: Azurite, localstack: LocalStack, way: str, mode: str
) -> None:
    s3, lakehouse = stores(localstack, azurite, "parquet")[0], system(azurite)
    pair = (s3, lakehouse) if way == "there" else (lakehouse, s3)
    assert files.cell(tmp_path, *pair, mode).outcome == "ok"


def test_one_lakehouse_fetches_from_another_by_itself(
    tmp_path: Path, azurite: Azurite, lake: OneLake
) -> None:
    before = len(lake.requests())
    assert files.cell(tmp_path, system(azurite), system(azurite), "full").outcome == "ok"
    assert [r for r in lake.requests()[before:] if "comp=block&" in r]


# `copyjob doctor`


@pytest.mark.parametrize("form", ["parquet", "binary"])
def test_the_doctor_tries_it_and_leaves_nothing(
    tmp_path: Path, lake: OneLake, azurite: Azurite, form: str
) -> None:
    given = options(lake, format=form)
    with ContainerClient(azurite.blob_endpoint, given.workspace, azurite.key) as client:
        client.upload_blob("shop.Lakehouse/Files/_committed_1", b"of Spark")
        found = doctor(tmp_path, given, "--write")
        assert found.exit_code == 0, found.output
        assert list(client.list_blob_names()) == ["shop.Lakehouse/Files/_committed_1"]


def doctor(folder: Path, given: FabricLakehouseFilesOptions, *more: str) -> Any:
    path = folder / "connections.json"
    path.write_text(json.dumps({"connections": {"lake": given.model_dump(exclude_defaults=True)}}))
    return CliRunner().invoke(main, ["doctor", "lake", "--connections", str(path), *more])


# What is refused


def uses(given: FabricLakehouseFilesOptions) -> list[Callable[[], object]]:
    return [
        lambda: open_source(given).objects(),
        lambda: open_source(given).describe("t"),
        lambda: open_destination(given).last_commit("job", "t", "t"),
    ]


@pytest.mark.parametrize(
    ("status", "code", "message", "ours", "fix"),
    [
        (403, "Forbidden", "User is not authorized", "no-right", "Contributor of the workspace"),
        (404, "WorkspaceNotFound", "Workspace 'x' is not found", "root-missing", "`workspace`"),
        (404, "ArtifactNotFound", "Artifact 'x' is not found", "root-missing", "`lakehouse`"),
        (400, "FriendlyNameSupportDisabled", "No names", "bad-name", "Give the ids"),
        (401, "InvalidAuthenticationInfo", "Not for this", "login-failed", "identity"),
    ],
)
def test_what_onelake_refuses(
    lake: OneLake, status: int, code: str, message: str, ours: str, fix: str
) -> None:
    for use in uses(options(lake)):
        with lake.refusing(status, code, message), pytest.raises(ConfigError) as refused:
            use()
        assert refused.value.code == ours
        assert fix in refused.value.fix
        assert "-of-onelake" not in str(refused.value)


def test_a_workspace_or_lakehouse_that_is_not_there(lake: OneLake) -> None:
    there = options(lake)
    for away in ({"workspace": "nobody"}, {"lakehouse": "nowhere"}):
        for use in uses(there.model_copy(update=away)):
            with pytest.raises(ConfigError) as refused:
                use()
            assert refused.value.code == "root-missing"


def test_a_lakehouse_that_is_listed_by_another_name(lake: OneLake, azurite: Azurite) -> None:
    """Its files would be copied to other places than their own."""
    given = options(lake, lakehouse="renamed")
    with ContainerClient(azurite.blob_endpoint, given.workspace, azurite.key) as client:
        client.upload_blob("renamed.Lakehouse/Files/t/a.csv", b"id\n1\n")
    with pytest.raises(ConfigError) as refused:
        open_source(given).objects()
    assert refused.value.code == "bad-name"
    assert "Renamed.Lakehouse" in str(refused.value)


@pytest.mark.parametrize("prefix", ["../Tables", "a/../../Tables", "..", "/../x", "a//b"])
def test_a_prefix_that_leads_out_of_the_files(lake: OneLake, prefix: str) -> None:
    given = options(lake, prefix=prefix)
    for opened in (open_source, open_destination):
        with pytest.raises(ConfigError) as refused:
            opened(given)
        assert refused.value.code == "path-outside"


@pytest.mark.parametrize("name", ["../Tables/t", "a/../../x"])
def test_a_table_that_leads_out_of_the_files(lake: OneLake, name: str) -> None:
    given = options(lake)
    with pytest.raises(CopyJobError):
        open_source(given).describe(name)
    assert not [each for each in lake.requests() if "Tables" in each]


# The options


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"workspace": "my sales"}, "give the ids"),
        ({"lakehouse": "7A1E0B0C-1111-2222-3333-444455556666"}, "both be names, or both ids"),
        ({"auth": "service_principal", "client_id": "a"}, "needs tenant_id and client_secret"),
        ({"tenant_id": "t"}, "tenant_id has no use"),
        ({"client_secret": "hunter2"}, "is a secret"),
        ({"account_key": "k"}, "account_key"),
        ({"format": "xml"}, "format"),
    ],
)
def test_options_that_cannot_be(more: dict[str, str], says: str) -> None:
    given = {"workspace": "sales", "lakehouse": "shop", **more}
    with pytest.raises(ValueError, match=says) as refused:
        FabricLakehouseFilesOptions.model_validate({"type": "fabric_lakehouse_files", **given})
    assert "hunter2" not in str(refused.value.args)


def test_a_name_that_only_the_environment_knows_is_checked_when_it_is_used(
    lake: OneLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE", "shop.Lakehouse/Tables/x")
    given = options(lake, lakehouse="${env:LAKEHOUSE}")
    with pytest.raises(ConfigError) as refused:
        open_source(given)
    assert refused.value.code == "bad-name"


def test_ids_take_the_place_of_names(lake: OneLake, azurite: Azurite) -> None:
    workspace, lakehouse = str(uuid.uuid4()), str(uuid.uuid4())
    lake.create(workspace)
    given = options(lake).model_copy(update={"workspace": workspace, "lakehouse": lakehouse})
    with ContainerClient(azurite.blob_endpoint, workspace, azurite.key) as client:
        client.upload_blob(f"{lakehouse}/Files/t/a.csv", b"id\n1\n")
    assert open_source(given.model_copy(update={"format": "csv"})).objects() == ["t"]

"""Delta tables as the crash tests write and read them, with delta-rs: in a folder, or in a
container of a service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs as pafs

from copy_core.connectors.options import DeltaOptions, FabricLakehouseOptions
from copy_core.secrets import resolve
from tests.crash.places import TABLE, Row, batch
from tests.servers import Azurite, LocalStack

if TYPE_CHECKING:
    from tests.crash.store_places import Kind

Lake = DeltaOptions | FabricLakehouseOptions
_LAKE = "lake"
_COMMIT = re.compile(r"_delta_log/\d+\.json")


def options(kind: Kind) -> DeltaOptions:
    """The connection of a job file to a lake in that container. delta-rs looks for Azurite where
    its process' environment says.
    """
    if kind.service != "s3":
        root = f"az://{kind.name}/{_LAKE}"
        return DeltaOptions(type="delta", root=root, storage=Azurite.storage_options)
    from tests.crash.store_places import SECRET_VARIABLE

    storage = LocalStack(urlsplit(kind.endpoint).port or 80).storage_options
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        storage[name] = f"${{env:{SECRET_VARIABLE}_S3}}"
    return DeltaOptions(type="delta", root=f"s3://{kind.name}/{_LAKE}", storage=storage)


def lakehouse(kind: str) -> FabricLakehouseOptions:
    """The connection of a job file to the lakehouse that `lakehouse:WORKSPACE` names."""
    return FabricLakehouseOptions(
        type="fabric_lakehouse",
        workspace=kind.removeprefix("lakehouse:"),
        lakehouse=_LAKE,
        schemas=False,
        auth="managed_identity",
    )


class DeltaLake:
    """A table in a lake, written as another program would."""

    updates = deletes = True

    def __init__(self, options: Lake) -> None:
        self.options = options
        self._append([], "error")

    def insert(self, rows: Sequence[Row]) -> None:
        self._append(rows, "append")

    def update(self, row: Row) -> None:
        changes = {"v": "NULL" if row[1] is None else str(row[1]), "rev": str(row[2])}
        self._table().update(updates=changes, predicate=f"id = {row[0]}")

    def delete(self, number: int) -> None:
        self._table().delete(f"id = {number}")

    def _append(self, rows: Sequence[Row], mode: Literal["error", "append"]) -> None:
        signed = storage(self.options)
        write_deltalake(url(self.options), batch(rows), mode=mode, storage_options=signed)

    def _table(self) -> DeltaTable:
        return DeltaTable(url(self.options), storage_options=storage(self.options))


def url(options: Lake) -> str:
    """Where the table is, for delta-rs; that of a lakehouse in Azurite, without a token."""
    if isinstance(options, FabricLakehouseOptions):
        return f"az://{options.workspace}/{options.lakehouse}.Lakehouse/Tables/{TABLE}"
    return f"{options.root}/{TABLE}"


def storage(options: Lake) -> dict[str, str]:
    """The storage options of delta-rs, with their secrets."""
    if isinstance(options, FabricLakehouseOptions):
        return Azurite.storage_options
    return {name: resolve(value) for name, value in options.storage.items()}


def read(options: Lake) -> pa.Table | None:
    """The rows that readers of the table see now; None when there is no table."""
    signed = storage(options)
    if not DeltaTable.is_deltatable(url(options), storage_options=signed):
        return None
    return DeltaTable(url(options), storage_options=signed).to_pyarrow_table()


def unowned(options: Lake) -> list[str]:
    """Data files that no commit of the table has ever added."""
    files = _files(options)
    found = files.get_file_info(pafs.FileSelector("", recursive=True, allow_not_found=True))
    names = [info.path for info in found if info.type == pafs.FileType.File]
    owned = set()
    for name in names:
        if _COMMIT.fullmatch(name):
            with files.open_input_file(name) as log:
                actions = [json.loads(line) for line in log.read().splitlines()]
            owned |= {unquote(action["add"]["path"]) for action in actions if "add" in action}
    data = [n for n in names if n.endswith(".parquet") and not n.startswith("_delta_log/")]
    return sorted({*data} - owned)


def _files(options: Lake) -> pafs.FileSystem:
    """The files of the table."""
    if "://" in url(options):
        return pafs.PyFileSystem(DeltaStorageHandler(url(options), storage(options)))
    return pafs.SubTreeFileSystem(url(options), pafs.LocalFileSystem())

"""Where Delta tables are: names confined below the root, one file system for every cloud."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from deltalake import DeltaTable, PostCommitHookProperties
from deltalake.exceptions import TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs as pafs

from copy_core.connectors.delta.faults import faults
from copy_core.errors import ConfigError

_LOG = "_delta_log"
# delta-rs 1.6 panics over brackets in a path, and decodes percent signs once too often.
_UNFIT = frozenset("[]%\\")


class Lake:
    """The tables below one root.

    Attributes:
        local: the root as a folder; None when it is in an object store.
        hooks: what delta-rs does after a commit; its default if None.
    """

    hooks: PostCommitHookProperties | None = None

    def __init__(self, root: str, storage: Mapping[str, str]) -> None:
        """A root as the options of a connection give it, and the storage options of delta-rs."""
        root = root.removeprefix("file://")
        self.local = None if "://" in root else Path(os.path.abspath(root))  # noqa: PTH100 - links stay
        self._root, self._storage = root.rstrip("/"), storage

    @property
    def storage(self) -> dict[str, str] | None:
        """The storage options of delta-rs now; None when there are none."""
        return dict(self._storage) or None

    def path(self, name: str) -> str:
        """The path below the root that the table `name` has."""
        return name

    def name(self, path: str) -> str | None:
        """The inverse of `path`; None for what is no table that can be named."""
        return path

    def uri(self, name: str) -> str:
        """Where the table `name` is, for delta-rs.

        Raises:
            ConfigError: the name would leave the root, or is none that a table can have.
        """
        path = self.path(name)
        steps = path.split("/")
        odd = any(step in ("", ".", "..", _LOG) for step in steps)
        if odd or _UNFIT.intersection(name) or not name.isprintable():
            raise _outside(name)
        if self.local is None:
            return f"{self._root}/{quote(path)}"
        folder = self.local / path
        if not folder.resolve().is_relative_to(self.local.resolve()):
            raise _outside(name)
        return str(folder)

    def open(self, name: str, version: int | None = None) -> DeltaTable | None:
        """The table as its log is now, or was at `version`; None when there is none."""
        with faults(table=name):
            try:
                return DeltaTable(self.uri(name), version=version, storage_options=self.storage)
            except TableNotFoundError:
                return None

    def files(self, name: str, sizes: dict[str, int] | None = None) -> pafs.FileSystem:
        """The file system that begins at the table's folder, whether that exists or not.

        Args:
            name: the table's name.
            sizes: sizes of files that are known, which saves an object store a request each.
        """
        uri = self.uri(name)
        if self.local is not None:
            return pafs.SubTreeFileSystem(uri, pafs.LocalFileSystem())
        with faults(table=name):
            return pafs.PyFileSystem(self.handler(uri, sizes))

    def handler(self, uri: str, sizes: dict[str, int] | None = None) -> DeltaStorageHandler:
        """The files below an address in an object store, as delta-rs handles them."""
        return DeltaStorageHandler(uri, self.storage, sizes)

    def check_writable(self, name: str) -> None:
        """Refuses a table in a folder that this user may not write to, or of a name that others
        would not find. Object stores tell of rights when something is written.

        Raises:
            ConfigError: names the folder or the table.
        """
        if self.local is None:
            return
        folder = Path(self.uri(name))
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"this user may not write to {folder}",
                fix="Grant the right to, or correct the connection's `root`",
                code="access-denied",
                table=name,
            )

    def tables(self) -> list[str]:
        """The names of all tables below the root, sorted. Folders inside a table are not searched.

        Raises:
            ConfigError: the root does not exist, or is a file.
        """
        if self.local is not None:
            if not self.local.is_dir():
                raise ConfigError(
                    f"{self.local} is a file, not a folder"
                    if self.local.exists()
                    else f"there is no folder {self.local}",
                    fix="Correct the connection's `root`",
                    code="root-missing",
                )
            files: pafs.FileSystem = pafs.SubTreeFileSystem(str(self.local), pafs.LocalFileSystem())
        else:
            with faults():
                files = pafs.PyFileSystem(self.handler(self._root))
        with faults():
            return sorted(filter(None, map(self.name, _tables(files, ""))))


def _tables(files: pafs.FileSystem, folder: str) -> Iterator[str]:
    inside = files.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    folders = [info.path.strip("/") for info in inside if info.type == pafs.FileType.Directory]
    names = {path.rsplit("/", 1)[-1]: path for path in folders}
    if folder and _LOG in names:
        yield folder
        return
    for name, path in names.items():
        if not name.startswith(("_", ".")):
            yield from _tables(files, path)


def _outside(name: str) -> ConfigError:
    return ConfigError(
        f"'{name}' is no path of a table below the connection's root",
        fix="Write it like sales/orders, without `..`, slashes at its ends, and [ ] % \\",
        code="bad-name",
        table=name,
    )

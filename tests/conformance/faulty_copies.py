"""Copies between a folder of this machine and a container behind the proxy, and what must come of
them: jobs as a user runs them, each to a new place, all of the same data.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from copy_core.connectors.options import Connection, LocalOptions
from copy_core.context import Context
from copy_core.jobfile import load
from copy_core.runners.local import LocalRunner
from copy_core.state.registry import open_state
from tests.crash.places import TABLE
from tests.crash.store_places import Kind, container, options, written
from tests.matrix.files import Folder
from tests.store_proxy import Proxy

PIECE = 64 << 10
"""How large the pieces are that larger objects are carried in here."""

FILES = {
    "parquet": {
        f"{n}.parquet": written([(i, i, i) for i in range(n * 100, n * 100 + 100)], "parquet")
        for n in (1, 2)
    },
    "binary": {
        "a": b"a" * 3000,
        "deep/é +%20": b"text\n",
        "empty": b"",
        "large": bytes(range(256)) * (2 * PIECE // 256) + b"end",
    },
}
STALE = "stale.parquet"
"""A file that is at the destination before, of one row where it is read as such."""
_STALE = written([(0, 0, 0)], "parquet")


class Setting(NamedTuple):
    """What is copied how.

    Attributes:
        service: which store has the trouble: s3 or azure_blob.
        role: what it is: source or destination.
        form: the format of the files.
        write: the write mode.
    """

    service: str
    role: str
    form: str
    write: str


class Copies:
    """Makes copies of one setting.

    Args:
        setting: the setting.
        kind: a new container, by its own address.
        proxy: what stands before it.
        folder: an empty folder.
    """

    def __init__(self, setting: Setting, kind: Kind, proxy: Proxy, folder: Path) -> None:
        self.setting, self.proxy, self.folder = setting, proxy, folder
        self.direct = options(kind)
        self.container = container(self.direct)
        self.container.create()
        _, _, account = kind.endpoint.removeprefix("http://").partition("/")
        self.through = options(kind._replace(endpoint=f"{proxy.origin}/{account}".rstrip("/")))
        self.source = folder / "source"
        self._numbers = count()
        origin = self.container if setting.role == "source" else Folder(self.source)
        for name, data in FILES[setting.form].items():
            origin.put(f"{TABLE}/{name}", data)

    def new(self) -> Copy:
        """A copy to a place of its own, where a file lies already."""
        return Copy(self, f"copy{next(self._numbers)}")


class Copy:
    """A job whose source does not change, and its destination."""

    def __init__(self, copies: Copies, name: str) -> None:
        setting = copies.setting
        self._setting = setting
        self._folder = copies.folder / name
        self._folder.mkdir()
        self._proxy = copies.proxy
        if setting.role == "source":
            self.place: Any = Folder(self._folder / "out")
            self._below = TABLE
            ends: list[Connection] = [copies.through, self._local(self._folder / "out")]
        else:
            self.place = copies.container
            self._below = f"{name}/{TABLE}"
            there = copies.through.model_copy(update={"prefix": name})
            ends = [self._local(copies.source), there]
        self._ends = ends
        self.place.put(f"{self._below}/{STALE}", _STALE)

    def run(self, *, retries: int = 4, delete_source: bool = False) -> dict[str, Any] | None:
        """Runs the job; the error, if it failed."""
        setting = self._setting
        table: dict[str, Any] = {"source": TABLE, "parts": 2, "write": setting.write}
        if setting.write == "append":
            table["mode"] = "incremental"
            if setting.form != "binary":
                table["incremental_column"] = "_file_modified"
        if delete_source:
            table["delete_source"] = True
        source, target = (end.model_dump(mode="json", exclude_defaults=True) for end in self._ends)
        definition = {
            "name": "faults",
            "source": "from",
            "destination": "to",
            "tables": [table],
            "limits": {"retries": retries},
            "connections": {"from": source, "to": target},
        }
        file = self._folder / "job.json"
        file.write_text(json.dumps(definition), "utf-8")
        loaded = load(file)
        with open_state(str(self._folder / "state.db")) as store:
            summary = LocalRunner(Context(loaded.job, loaded.connections, store)).run()
        if summary.status == "succeeded":
            return None
        errors = [summary.error, *(each.error for each in summary.tables)]
        return next(error for error in errors if error)

    def check(self, changed: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Holds the destination against the source: nothing lost, doubled, damaged or left over.

        Args:
            changed: files that are others than at first.
        """
        form, found = self._setting.form, self.found()
        expected = {**FILES[form], **changed}
        if self._setting.write == "append":
            expected[STALE] = _STALE
        if form == "binary":
            assert found.keys() == expected.keys()
            assert all(found[name] == data for name, data in expected.items())
        else:
            assert _rows(found) == _rows(expected)
        assert not [key for key in self._keys() if "/_copyjob/staging/" in key]

    def found(self) -> dict[str, bytes]:
        """What readers find who list the destination: its files by their paths."""
        prefix = f"{self._below}/"
        shown = [key for key in self._keys() if not key.startswith(f"{prefix}_")]
        return {key.removeprefix(prefix): self.place.get(key) for key in shown}

    def _keys(self) -> list[str]:
        everything: Iterator[str] = self.place.keys()
        return [key for key in everything if key.startswith(f"{self._below}/")]

    def _local(self, root: Path) -> LocalOptions:
        return LocalOptions.model_validate(
            {"type": "local", "root": str(root), "format": self._setting.form}
        )


def _rows(files: dict[str, bytes]) -> list[tuple[Any, ...]]:
    tables = [pq.read_table(io.BytesIO(data)).to_pydict() for data in files.values()]
    return sorted(row for table in tables for row in zip(*table.values(), strict=True))

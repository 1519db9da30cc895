"""The columns of a table of files, with those that have one value in all of a file.

Those are the names of the folders that it lies in (`year=2026`), its path and its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from copy_core.connectors.files import hive
from copy_core.connectors.files.folder import File, named
from copy_core.connectors.files.newest import FILE_MODIFIED, FILE_PATH
from copy_core.connectors.files.text import from_text
from copy_core.errors import TerminalError
from copy_core.schema import schema_from_json, schema_to_json

if TYPE_CHECKING:
    from copy_core.connectors.base import TableInfo
    from copy_core.model import JsonDict, Slice

_HIDDEN = pa.schema(
    [
        pa.field(FILE_PATH, pa.string(), nullable=False),
        pa.field(FILE_MODIFIED, pa.timestamp("us", "UTC"), nullable=False),
    ]
)
# Marks a column of a described schema that is in the names of folders: in `files` too, or not.
_FOLDERS = b"folders"


@dataclass(frozen=True)
class Shape:
    """The columns of a table.

    Attributes:
        name: the table's name.
        schema: its columns: those of its files, then those in the names of folders alone.
        folders: the columns in the names of folders, and whether files have them too.
        partial: the files have columns that `schema` lacks on purpose.
    """

    name: str
    schema: pa.Schema
    folders: Mapping[str, bool]
    partial: bool

    @classmethod
    def described(cls, info: TableInfo) -> Self:
        """The shape of a table as `describe` gave it."""
        marks = {f.name: (f.metadata or {}).get(_FOLDERS) for f in info.schema}
        folders = {name: mark == b"files" for name, mark in marks.items() if mark}
        return cls(info.object, info.schema, folders, bool(info.uncopyable))

    @classmethod
    def planned(cls, part: Slice, plan: JsonDict) -> Self:
        """The shape that `to_json` wrote into the plan of a part."""
        schema = schema_from_json(plan["schema"])
        return cls(part.object, schema, plan.get("folders", {}), plan.get("partial", False))

    def to_json(self) -> JsonDict:
        return {
            "schema": schema_to_json(self.schema),
            "partial": self.partial,
            "folders": dict(self.folders),
        }

    @property
    def own(self) -> pa.Schema:
        """The columns that the files have."""
        fields = [f for f in self.schema if self.folders.get(f.name, True)]
        return pa.schema([field.remove_metadata() for field in fields])

    @property
    def hidden(self) -> pa.Schema:
        """The columns of every file that are read when they are named."""
        return pa.schema([field for field in _HIDDEN if field.name not in self.schema.names])

    @property
    def constant(self) -> pa.Schema:
        """The columns that have one value in all of a file."""
        return pa.schema([*(self.schema.field(name) for name in self.folders), *self.hidden])

    def constants(self, file: File) -> dict[str, pa.Scalar[Any]]:
        """The values of the columns that have one value in all of a file.

        Raises:
            TerminalError: a folder's value does not fit the column's type.
        """
        found: dict[str, pa.Scalar[Any]] = {}
        texts = hive.values(file.key, named(self.name, file.key)) if self.folders else {}
        for field in self.constant:
            if field.name in self.folders:
                text = pa.array([texts.get(field.name)], pa.string())
                try:
                    found[field.name] = from_text(text, field.type, field.name)[0]
                except TerminalError as e:
                    raise e.at(file=file.key)  # noqa: B904 - it is the same error
            elif field.name == FILE_PATH:
                found[field.name] = pa.scalar(file.key)
            else:
                found[field.name] = pa.scalar(file.modified // 1000, field.type)
        return found


def with_folders(
    own: pa.Schema, name: str, files: Sequence[File], types: Mapping[str, str]
) -> pa.Schema:
    """The columns of a table's files, and after them those in the names of its folders alone.

    A column of both has the files' type.

    Raises:
        ConfigError: the files are not all in folders of the same columns.
    """
    for field in hive.columns(((f.key, named(name, f.key)) for f in files), types):
        place = own.get_field_index(field.name)
        if place < 0:
            own = own.append(field.with_metadata({_FOLDERS: "names"}))
        else:
            both = own.field(place).with_nullable(True).with_metadata({_FOLDERS: "files"})
            own = own.set(place, both)
    return own

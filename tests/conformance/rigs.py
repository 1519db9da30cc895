"""What a connector brings along to join the conformance kit: a rig for each of its roles.

A rig makes, changes, breaks and reads tables of the real system with another engine than the
connector's own wherever there is one, and declares what the system cannot hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from copy_core.connectors.base import (
    Destination,
    DestinationCapabilities,
    Source,
    SourceCapabilities,
)
from copy_core.model import Staged
from copy_core.schema import type_name
from tests.conformance.samples import ODD_NAMES, STEPS, VALUES


class Rig(ABC):  # noqa: B024 - its roles have the abstract methods
    """What both roles declare.

    Attributes:
        types: what each type of the table of types becomes in this system, by its name; one that
            is missing cannot be held there.
        odd_tables: names that a table may have there.
        odd_columns: names that a column may have there.
        shows_empty: a table without rows still has columns; JSON lines name them in rows alone.
    """

    types: ClassVar[Mapping[str, str]] = {name: name for name in VALUES}
    odd_tables: ClassVar[Sequence[str]] = ODD_NAMES
    odd_columns: ClassVar[Sequence[str]] = ODD_NAMES
    shows_empty: ClassVar[bool] = True

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        """Makes a place of its own, in `folder` or in a service that `request` gets."""
        self.folder = folder
        self.request = request

    def close(self) -> None:  # noqa: B027 - the end of the test's folder is enough for most
        """Takes the place away again."""


class SourceRig(Rig):
    """Tables to read from.

    Attributes:
        capabilities: what the source must declare.
        knows_keys: the system knows which columns are the primary key.
        knows_required: the system knows which columns are never null.
        steps: the types that may order changes there.
        corrupts: `corrupt` breaks a table.
        uncopyable: a type that a column may have there and that cannot be copied, if there is one;
            a rig whose system has no lists makes one of its own of it.
    """

    capabilities: ClassVar[SourceCapabilities]
    knows_keys: ClassVar[bool] = True
    knows_required: ClassVar[bool] = True
    steps: ClassVar[Sequence[str]] = tuple(STEPS)
    corrupts: ClassVar[bool] = False
    uncopyable: ClassVar[pa.DataType | None] = pa.list_(pa.int64())

    @abstractmethod
    def open(self) -> Source:
        """A source on this place; whoever asks closes it."""

    @abstractmethod
    def create(self, name: str, rows: pa.Table, keys: Sequence[str] = ()) -> str:
        """Makes a table with that schema, nullability and primary key; the source's name of it."""

    @abstractmethod
    def insert(self, name: str, rows: pa.Table) -> None:
        """Adds rows to the table that the source calls `name`."""

    @abstractmethod
    def delete(self, name: str, ids: Sequence[int]) -> None:
        """Deletes the rows whose `id` is one of these."""

    def replace(self, name: str, rows: pa.Table) -> None:
        """Changes the rows that have the ids of `rows`."""
        self.delete(name, rows["id"].to_pylist())
        self.insert(name, rows)

    def corrupt(self, name: str) -> None:
        """Breaks the table's bytes, where `corrupts` says that it can."""


class DestinationRig(Rig):
    """Tables to write to.

    Attributes:
        capabilities: what the destination must declare.
        keeps_required: a column may be declared never null there.
        loses_staged: `lose` removes what was staged.
    """

    capabilities: ClassVar[DestinationCapabilities]
    keeps_required: ClassVar[bool] = True
    loses_staged: ClassVar[bool] = True

    @abstractmethod
    def open(self) -> Destination:
        """A destination on this place; whoever asks closes it."""

    @abstractmethod
    def create(self, name: str, rows: pa.Table) -> None:
        """Makes a table there, as another program would have made it."""

    @abstractmethod
    def read(self, name: str) -> pa.Table | None:
        """The rows that readers see now, in types of the table of types or, where the system has
        none, as text; None: no such table.
        """

    def typed(self, found: pa.Table, schema: pa.Schema) -> pa.Table:
        """What was read, as rows of `schema`."""
        return found.select(schema.names).cast(schema)

    def watch(self, name: str) -> pa.Table | None:
        """The same while the table is being written, by the readers that may expect to see the old
        rows or the new.
        """
        return self.read(name)

    @abstractmethod
    def staged(self) -> list[str]:
        """Whatever lies at this place and is neither part of a table nor of the ledger."""

    def lose(self, staged: Staged) -> None:
        """Removes what was staged, as an over-eager cleaner would."""


def described(rig: type[Rig] | Rig, schema: pa.Schema) -> list[tuple[str, str]]:
    """The names and type names that a table of `schema` has in the rig's system."""
    return [(field.name, rig.types[type_name(field.type)]) for field in schema]

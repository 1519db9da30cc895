"""A live destination, and what other programs do with its database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from copy_core.connectors.base import Destination
from copy_core.connectors.registry import open_destination
from copy_core.connectors.sql.mssql import db
from copy_core.model import Commit, Published, Staged, Target
from copy_core.secrets import resolve
from tests.conformance.destination_kit import batches
from tests.mssql.server import Database


class Place:
    """A destination on a database of the tests' own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.to: Destination = open_destination(database.options)

    def session(self) -> db.Database:
        """Another connection of the connector's own."""
        options = self.database.options
        return db.Database(options.model_copy(update={"password": resolve(options.password or "")}))

    def run(self, *statements: str) -> None:
        """What other programs did."""
        for statement in statements:
            self.database.run(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What readers see, sorted."""
        return sorted(self.database.rows(query), key=repr)

    def stage(self, target: Target, *parts: pa.Table) -> list[Staged]:
        schema = self.to.prepare(target)
        return [self.to.stage(target, n, batches(rows, schema)) for n, rows in enumerate(parts)]

    def publish(self, target: Target, staged: Iterable[Staged]) -> Published:
        return self.to.publish(Commit(target=target, watermark=None, staged=tuple(staged)))

    def load(self, target: Target, *parts: pa.Table) -> Published:
        """The whole way of one sequence."""
        published = self.publish(target, self.stage(target, *parts))
        self.to.clean(target)
        return published

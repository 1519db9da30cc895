"""Routes for the operator's connections: list, test, browse, describe, preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from copy_core.connectors import registry
from copy_core.connectors.base import Source, near
from copy_core.connectors.options import Connection
from copy_core.errors import ConfigError, CopyJobError
from copy_core.failures import classify
from copy_core.schema import schema_to_json
from copy_core.service.service import Service
from copy_core.watermark import Kind
from copy_core.web import examples
from copy_core.web.deps import Askers, Asking, TheService, at_connection
from copy_core.web.preview import Shown, preview
from copy_core.web.problems import Problem, documented, problem

router = APIRouter(tags=["connections"])

T = TypeVar("T")
Role = Literal["source", "destination"]

Name = Annotated[
    str,
    Path(alias="name", max_length=200, description="The connection's name.", examples=["erp"]),
]
Object = Annotated[
    str,
    Query(
        alias="object",
        min_length=1,
        max_length=1000,
        description="A table or folder, by its name at the connection.",
        examples=["orders"],
    ),
]


class ConnectionShown(BaseModel):
    """A connection that jobs may name.

    Attributes:
        name: its name.
        type: its type.
        options: what it says; secrets as the references that the operator wrote.
    """

    name: str
    type: str
    options: dict[str, Any]


class Connections(BaseModel):
    """Every connection that jobs may name."""

    model_config = examples.shown({"connections": [examples.CONNECTION]})

    connections: list[ConnectionShown]


class Trial(BaseModel):
    """What came of trying a connection.

    Attributes:
        ok: whether it did all that was tried.
        took_ms: how long that took.
        role: what it was tried as when it failed.
        error: why it failed.
    """

    model_config = examples.shown({"ok": True, "took_ms": 41})

    ok: bool
    took_ms: int
    role: Role | None = None
    error: Problem | None = None


class Objects(BaseModel):
    """What can be read at a connection, sorted.

    Attributes:
        objects: names, of those that begin as asked for.
        more: whether there are more of them.
    """

    model_config = examples.shown({"objects": ["customers", "orders"], "more": False})

    objects: list[str]
    more: bool


class ColumnShown(BaseModel):
    """A column of a table.

    Attributes:
        name: its name.
        type: its type, as job files write types.
        nullable: whether it may be without a value.
        watermark: what it holds, if it can serve as incremental column.
    """

    name: str
    type: str
    nullable: bool
    watermark: Kind | None = None


class Description(BaseModel):
    """A table.

    Attributes:
        object: its name.
        columns: its columns.
        uncopyable: columns that cannot be copied, and why.
        keys: its primary key.
        rows: how many rows it has, roughly; null when that is not cheap to know.
    """

    model_config = examples.shown(examples.DESCRIPTION)

    object: str
    columns: list[ColumnShown]
    uncopyable: dict[str, str]
    keys: list[str]
    rows: int | None


class Preview(BaseModel):
    """The first rows of a table.

    Attributes:
        object: its name.
        columns: the names of its columns.
        rows: for each row, its values in the order of `columns`. What JSON has no value for is
            text, and so is what it would round; long text is cut and ends in `…`.
    """

    model_config = examples.shown(examples.PREVIEW)

    object: str
    columns: list[str]
    rows: list[list[Shown]]


@router.get("/connections")
def list_connections(service: TheService) -> Connections:
    """Lists the connections that jobs may name; secrets are shown as references only."""
    found = service.catalog.connections()
    return Connections(
        connections=[
            ConnectionShown(
                name=name,
                type=connection.type,
                options=connection.model_dump(mode="json", exclude={"type"}),
            )
            for name, connection in sorted(found.items())
        ]
    )


@router.post("/connections/{name}/test", responses=documented(404))
async def try_connection(
    service: TheService,
    name: Name,
    asking: Asking,
    role: Annotated[Role | None, Query(description="What to try it as; both if left out.")] = None,
) -> Trial:
    """Opens a connection, lists what is there, and looks for a ledger; changes nothing."""
    connection = await to_thread.run_sync(_connection, service, name)

    def tried() -> Trial:
        began = time.monotonic()
        tried_as: Role | None = None
        error: CopyJobError | None = None
        try:
            for tried_as in (role,) if role else _ROLES:
                _TRIES[tried_as](connection)
        except Exception as e:  # noqa: BLE001 - whatever it is, it is the answer
            error = classify(e).at(connection=name)
        return Trial(
            ok=error is None,
            took_ms=round((time.monotonic() - began) * 1000),
            role=tried_as if error else None,
            error=problem(error) if error else None,
        )

    return await asking.ask(name, tried)


@router.get("/connections/{name}/objects", responses=documented(404, 502))
async def list_objects(
    service: TheService,
    name: Name,
    asking: Asking,
    prefix: Annotated[str, Query(max_length=1000, description="How names begin.")] = "",
    limit: Annotated[int, Query(ge=1, le=5000)] = 200,
) -> Objects:
    """Lists the tables and folders that a connection can read."""

    def listed(source: Source) -> Objects:
        found = [each for each in source.objects() if each.startswith(prefix)]
        return Objects(objects=found[:limit], more=len(found) > limit)

    return await _at_source(service, name, asking, listed)


@router.get("/connections/{name}/describe", responses=documented(404, 502))
async def describe(service: TheService, name: Name, asking: Asking, obj: Object) -> Description:
    """Describes a table: columns, types, keys, and which columns can be incremental."""

    def described(source: Source) -> Description:
        info = source.describe(obj)
        return Description(
            object=info.object,
            columns=[
                ColumnShown(
                    name=column,
                    type=kind,
                    nullable=null == "null",
                    watermark=info.watermarks.get(column),
                )
                for column, kind, null in schema_to_json(info.schema)
            ],
            uncopyable=dict(info.uncopyable),
            keys=list(info.keys),
            rows=info.rows,
        )

    return await _at_source(service, name, asking, described)


@router.get("/connections/{name}/preview", responses=documented(404, 502))
async def preview_rows(service: TheService, name: Name, asking: Asking, obj: Object) -> Preview:
    """Shows the first 20 rows of a table."""

    def read(source: Source) -> Preview:
        info = source.describe(obj)
        return Preview(object=obj, columns=info.schema.names, rows=preview(source, info))

    return await _at_source(service, name, asking, read)


def _try_source(connection: Connection) -> None:
    with registry.open_source(connection) as source:
        source.objects()


def _try_destination(connection: Connection) -> None:
    with registry.open_destination(connection) as destination:
        destination.last_commit("copyjob", "connection-test", "connection-test")


_ROLES: tuple[Role, ...] = ("source", "destination")
_TRIES: dict[Role, Callable[[Connection], None]] = {
    "source": _try_source,
    "destination": _try_destination,
}


async def _at_source(service: Service, name: str, asking: Askers, ask: Callable[[Source], T]) -> T:
    """Asks the system behind a connection, in one of the threads that may hang."""
    connection = await to_thread.run_sync(_connection, service, name)

    def asked() -> T:
        with at_connection(name), registry.open_source(connection) as source:
            return ask(source)

    return await asking.ask(name, asked)


def _connection(service: Service, name: str) -> Connection:
    known = service.catalog.connections()
    if name not in known:
        raise ConfigError(
            f"there is no connection '{name}'",
            fix=near(name, sorted(known)),
            code="connection-unknown",
        )
    return known[name]

"""Carries whole objects from a source to a destination, where `transfer` moves rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.connectors import registry
from copy_core.connectors.files.objects import ObjectDestination, ObjectSource
from copy_core.context import Progress
from copy_core.errors import TerminalError

if TYPE_CHECKING:
    from copy_core.connectors.base import Destination, Source
    from copy_core.context import Context
    from copy_core.model import Target
    from copy_core.state.tables import Part, Pending


def transfer_objects(context: Context, pending: Pending, part: Part) -> Part:
    """Places the objects of a part; arguments, result and errors as of `transfer`."""
    job, table = context.job, pending.target.table

    def tell(objects: int, size: int) -> None:
        context.observe(Progress(table, "batch", bytes=size, files=objects))

    with (
        registry.open_source(context.connection(job.source)) as source,
        registry.open_destination(context.connection(job.destination)) as destination,
    ):
        came_from, goes_to = _ends(source, destination)
        received = goes_to.receive(
            pending.target, part.number, came_from, part.slice, context.check, tell
        )
    if received.staged.rows != received.objects:
        raise TerminalError(
            f"{received.objects} objects were read but {received.staged.rows} were placed",
            fix="Nothing was committed; run again, and report this if it stays",
            code="count-mismatch",
        )
    return part.model_copy(
        update={
            "staged": received.staged,
            "bytes_read": received.bytes,
            "files_read": received.objects,
        }
    )


def discard(context: Context, destination: Destination, target: Target) -> None:
    """Removes the objects that a commit has copied from the source, if they are the same still.

    Args:
        context: the run's job and connections.
        destination: where they were copied to.
        target: the commit, before it is cleaned up.
    """
    with registry.open_source(context.connection(context.job.source)) as source:
        came_from, goes_to = _ends(source, destination)
        came_from.discard(goes_to.copied(target))


def _ends(source: Source, destination: Destination) -> tuple[ObjectSource, ObjectDestination]:
    if isinstance(source, ObjectSource) and isinstance(destination, ObjectDestination):
        return source, destination
    raise TerminalError(
        "the connections copied files as they are when this was planned, and do not any more",
        fix="Set `format: binary` of both again, or load the table anew: copyjob reset",
        code="format-changed",
    )

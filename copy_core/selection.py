"""Which tables of a job somebody asked for."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.job import Job


def selected(job: Job, names: Iterable[str]) -> list[str]:
    """The tables of a job that were asked for by name, each once; all when none was.

    Raises:
        ConfigError: the job has no such table.
    """
    known = [table.source for table in job.tables]
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            from copy_core.connectors.base import near

            raise ConfigError(
                "the job has no such table",
                fix=near(name, known),
                code="table-unknown",
                job=job.name,
                table=name,
            )
    return wanted or known


def digest(names: Iterable[str]) -> str:
    """A short text that tells whether two lists of tables are the same."""
    return sha256("\0".join(names).encode()).hexdigest()[:16]

"""Errors, classed by what recovers from them.

A caller never needs to know which library failed, only what may be done about it:

* `ConfigError`: somebody must change the job file, a connection or the destination.
* `TerminalError`: the data or the system refuses; trying again gives the same answer.
* `TransientError`: the same call may succeed later; the control flow tries again.
* `ConflictError`: another run owns the thing; never retried over its head.
* `Cancelled`: somebody asked the run to stop.

Each says what happened, where (job, table, column, file), and what to change.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from copy_core.secrets import scrub

# What libraries say may be as long as a statement or a row; what is said of it must fit a message.
_LONGEST = 16_000

Recovery = Literal["config", "terminal", "transient", "conflict", "cancelled"]


class CopyJobError(Exception):
    """Base of every error that copyjob raises on purpose.

    Args:
        what: what happened, one sentence without a full stop.
        fix: what the reader may change, one sentence; empty when nothing can be.
        code: a stable name for machines, in kebab-case.
        where: the place by kind: job, table, column, file, connection, line.
    """

    recovery: ClassVar[Recovery] = "terminal"

    def __init__(self, what: str, *, fix: str = "", code: str = "", **where: str) -> None:
        self.what = scrub(what)[:_LONGEST]
        self.fix = scrub(fix)
        self.code = code or self.recovery
        self.where = {kind: scrub(name) for kind, name in where.items() if name}
        super().__init__(self.what)

    def at(self, **where: str) -> CopyJobError:
        """Adds places that the raiser did not know of; what it did know stays."""
        self.where = {k: scrub(v) for k, v in where.items() if v} | self.where
        return self

    def __str__(self) -> str:
        place = ", ".join(f"{kind} {name}" for kind, name in self.where.items())
        text = f"{place}: {self.what}" if place else self.what
        return f"{text}. {self.fix}" if self.fix else text

    def to_json(self) -> dict[str, Any]:
        """The error as it stands in outcomes, state rows and summaries."""
        return {
            "recovery": self.recovery,
            "code": self.code,
            "message": self.what,
            "where": self.where,
            "fix": self.fix,
        }


class ConfigError(CopyJobError):
    """Somebody must change the job file, a connection or the destination."""

    recovery = "config"


class TerminalError(CopyJobError):
    """The data or the system refuses; trying again gives the same answer."""

    recovery = "terminal"


class TransientError(CopyJobError):
    """The same call may succeed later.

    Args:
        retry_after: seconds that the service asked to wait for, if it said so.
    """

    recovery = "transient"

    def __init__(
        self,
        what: str,
        *,
        fix: str = "",
        code: str = "",
        retry_after: float | None = None,
        **where: str,
    ) -> None:
        super().__init__(what, fix=fix, code=code, **where)
        self.retry_after = retry_after


class ConflictError(CopyJobError):
    """Another run owns the thing, or changed it meanwhile; never an overwrite.

    Args:
        holder: who owns it, as people would look for it (run id, process, machine).
    """

    recovery = "conflict"

    def __init__(
        self, what: str, *, fix: str = "", code: str = "", holder: str = "", **where: str
    ) -> None:
        super().__init__(what, fix=fix, code=code, **where)
        self.holder = holder


class Cancelled(CopyJobError):  # noqa: N818 - a stop that was asked for is not an error
    """Somebody asked the run to stop."""

    recovery = "cancelled"

"""The names of runs: by time, or so that the same cause always names the same run.

Runs that go on with each other are a chain: whoever has the name of one can tell.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from hashlib import sha256

_RESUMED = re.compile(r"(resume-[0-9a-f]{24})-(\d+)", re.ASCII)


def new_run_id(now: datetime | None = None) -> str:
    """A name for a run that sorts by time.

    Args:
        now: when it is given; this moment when None.
    """
    when = now or datetime.now(UTC)
    return f"{when:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def keyed(job: str, key: str) -> str:
    """The name of the run of a job that was asked for with a key."""
    return _named_by("key", f"{job}/{key}")


def resumed_as(run_id: str) -> str:
    """The name of the run that goes on with another one."""
    earlier = _RESUMED.fullmatch(run_id)
    return f"{_chain(run_id)}-{int(earlier[2]) + 1 if earlier else 1}"


def same_chain(run_id: str, other: str) -> bool:
    """Whether two runs are one, or go on with each other, however many came in between."""
    return _chain(run_id) == _chain(other)


def _chain(run_id: str) -> str:
    resumed = _RESUMED.fullmatch(run_id)
    return resumed[1] if resumed else _named_by("resume", run_id)


def _named_by(kind: str, cause: str) -> str:
    return f"{kind}-{sha256(cause.encode()).hexdigest()[:24]}"

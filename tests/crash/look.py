"""What is there at one moment, and what must hold of it whatever was copied."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from copy_core.model import Published
from copy_core.state.tables import Pending, TableState
from tests.crash.places import Row


class Violation(AssertionError):  # noqa: N818 - it accuses others
    """A promise was broken.

    Args:
        kind: `lost`, `doubled`, `undue` (a row that may not be there), `ahead` (the state knows
            more than the destination), `behind` (a run ended well and did not do its work), or
            `untidy`.
        what: the rows or facts that show it.
    """

    def __init__(self, kind: str, what: object) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def raise_if(kind: str, what: object) -> None:
    """Raises a violation if there is something that shows it."""
    if what:
        raise Violation(kind, what)


class Look(NamedTuple):
    """What is there at one moment.

    Attributes:
        rows: the rows that readers of the destination see, each with how often.
        waiting: what was staged and is neither published nor cleared away.
        ledger: the destination's newest record.
        state: the table's state.
        lease: the run that holds the job, if one does.
    """

    rows: Counter[Row]
    waiting: list[str]
    ledger: Published | None
    state: TableState
    lease: str | None

    @property
    def sequence(self) -> int:
        """The newest sequence that is visible."""
        return self.ledger.sequence if self.ledger else 0

    @property
    def watermark(self) -> int | None:
        """Up to where rows are visible, as the ledger says."""
        mark = self.ledger.watermark if self.ledger else None
        return int(mark.value) if mark else None

    @property
    def pending(self) -> Pending | None:
        """The window that is planned and not visible yet."""
        pending = self.state.pending
        return pending if pending and pending.target.sequence > self.sequence else None


def look_of(found: dict[str, Any]) -> Look:
    """A look as `child.look` gives it."""
    return Look(
        rows=Counter(tuple(row) for row in found["rows"]),
        waiting=found["waiting"],
        ledger=found["ledger"] and Published.model_validate(found["ledger"]),
        state=TableState.model_validate(found["state"]),
        lease=found["lease"],
    )


def check_state(look: Look) -> None:
    """The state never knows of more than what the destination shows.

    Raises:
        Violation: it does.
    """
    state, mark = look.state, look.state.watermark
    if state.sequence > look.sequence:
        raise Violation("ahead", f"sequence {state.sequence}, but {look.sequence} is visible")
    if mark is None:
        return
    if look.watermark is None or int(mark.value) > look.watermark:
        raise Violation("ahead", f"watermark {mark.value}, but {look.watermark} is visible")
    if state.sequence == look.sequence and int(mark.value) != look.watermark:
        raise Violation("behind", f"watermark {mark.value} of sequence {state.sequence}")


def check_finished(look: Look, *, due: int | None, tidy: bool) -> None:
    """A run that ended well has done all its work, and left nothing lying about.

    Args:
        look: what was there after the run.
        due: up to where it had to copy.
        tidy: whether it must also have cleared away what others left.

    Raises:
        Violation: something is left.
    """
    state = look.state
    raise_if("behind", state.pending and f"a window is still pending: {state.pending.window}")
    raise_if("behind", look.lease and f"the lease is still held by {look.lease}")
    # A lost state is only written again when something new is copied.
    if state.owner and state.sequence != look.sequence:
        raise Violation("behind", f"sequence {state.sequence}, {look.sequence} is visible")
    if due is not None and (look.watermark is None or look.watermark < due):
        raise Violation("behind", f"the watermark is {look.watermark}, {due} was due")
    if tidy:
        raise_if("untidy", look.waiting or (state.leftover and f"leftover {state.leftover}"))

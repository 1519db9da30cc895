"""The parts of an object: all of them, or it is not put together."""

from __future__ import annotations

from collections.abc import Collection

from copy_core.errors import TerminalError


def all_there(numbers: Collection[int], key: str) -> None:
    """Checks that no part lacks between others: a service would join what there is.

    Args:
        numbers: of the parts that were sent, each once; they count from 0.
        key: the object's name below the root.

    Raises:
        TerminalError: one is missing.
    """
    if len(numbers) <= max(numbers, default=-1):
        raise TerminalError(
            f"of the object's parts only {len(numbers)} were sent, not every one",
            fix="Please report this with the log of the run",
            code="part-missing",
            file=key,
        )

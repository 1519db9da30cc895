"""Checks, made one after the other; what fails is kept and told like what passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from copy_core.failures import classify

if TYPE_CHECKING:
    from copy_core.errors import CopyJobError

T = TypeVar("T")


class Finding(NamedTuple):
    """What came of a check.

    Attributes:
        check: its name.
        seconds: how long it took.
        says: what was found; "" when it failed.
        error: why it failed; None when it passed.
    """

    check: str
    seconds: float
    says: str = ""
    error: CopyJobError | None = None


class Checks:
    """Makes checks one after the other, and keeps what came of them.

    Args:
        connection: the name of the connection that is tried.
        began: is told the name of each check that begins.
        ended: is told what came of it.

    Attributes:
        findings: what came of them so far.
    """

    def __init__(
        self, connection: str, began: Callable[[str], None], ended: Callable[[Finding], None]
    ) -> None:
        self.findings: list[Finding] = []
        self._connection, self._began, self._ended = connection, began, ended

    def run(self, check: str, attempt: Callable[[], T], says: Callable[[T], str] = str) -> T | None:
        """Makes a check.

        Args:
            check: its name.
            attempt: does what is tried; the check failed if this raises.
            says: what to tell people of its result.

        Returns:
            The result; None when it failed.
        """
        self._began(check)
        since = time.monotonic()
        result: T | None = None
        told, error = "", None
        try:
            result = attempt()
            told = says(result)
        except Exception as e:  # noqa: BLE001 - whatever it is, it is what was found
            result, error = None, classify(e).at(connection=self._connection)
        finding = Finding(check, time.monotonic() - since, told, error)
        self.findings.append(finding)
        self._ended(finding)
        return result

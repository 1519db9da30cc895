"""What starts runs: Durable Functions on Azure, threads on one machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from copy_core.model import JsonDict, RunRequest


class Launcher(ABC):
    """Starts runs and tells how they fare. That a run is to stop is asked through its lease."""

    @abstractmethod
    async def start(self, request: RunRequest) -> bool:
        """Starts a run in the background; what becomes of it is in the run history.

        Returns:
            Whether it was started now: a run id that was ever started before starts nothing, so
            a doubled tick or event does no harm.

        Raises:
            TransientError: it could not be started; asking again with the same id is safe.
        """

    @abstractmethod
    async def progress(self, run_id: str) -> JsonDict | None:
        """What a run that is under way says of itself: `tables`, `done`, `rows`, …; None when no
        such run is under way here.
        """

    @abstractmethod
    async def purge(self, before: datetime) -> None:
        """Forgets what the engine itself keeps of runs that ended before a moment."""

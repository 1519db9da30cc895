"""The service behind `copyjob serve`, in this process, at minutes that a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from copy_core.cli import serving
from copy_core.runners.launcher import LocalLauncher
from copy_core.service.catalog import open_catalog
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state.sqlite import SqliteStateStore


@contextmanager
def service_of(jobs: Path) -> Iterator[Service]:
    """A service over a folder of jobs, beside which its state lies."""
    settings = Settings(jobs=str(jobs), state="unused")
    catalog = open_catalog(settings)
    with SqliteStateStore(jobs.parent / "state.db") as store:
        launcher = LocalLauncher(catalog.load, store)
        yield Service(settings, catalog, store, launcher)
        launcher.stop()


def live_through(service: Service, minutes: Callable[[], AsyncIterator[datetime]]) -> None:
    """Has a service do what it does at each of these minutes; its runs have ended then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "_minutes", minutes)
        asyncio.run(serving._each_minute(service))
    service.launcher.stop()  # type: ignore[attr-defined]  # it is a local one

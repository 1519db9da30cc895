"""A service: its jobs, its state and what starts its runs, shared by API, timer and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copy_core.service.catalog import Catalog
    from copy_core.service.launcher import Launcher
    from copy_core.service.settings import Settings
    from copy_core.state.base import StateStore


@dataclass(frozen=True)
class Service:
    """What a service works with.

    Attributes:
        settings: its settings.
        catalog: its jobs and the connections that they may name.
        store: the state.
        launcher: what starts runs.
    """

    settings: Settings
    catalog: Catalog
    store: StateStore
    launcher: Launcher

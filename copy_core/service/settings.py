"""The settings of a service, from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from copy_core.errors import ConfigError

_MEANING = {
    "COPYJOB_JOBS": "where the job files are (https://ACCOUNT.blob.core.windows.net/CONTAINER, or"
    " a folder)",
    "COPYJOB_STATE": "where the state is (https://ACCOUNT.table.core.windows.net, or a file)",
}


@dataclass(frozen=True)
class Settings:
    """What a service needs to know.

    Attributes:
        jobs: `COPYJOB_JOBS`: where the job definitions are; see `open_jobs`.
        state: `COPYJOB_STATE`: where the state is; see `open_state`.
        connections: `COPYJOB_CONNECTIONS`: the file with the connections that jobs may name; empty
            for `connections.yaml` beside the job files.
        keep_days: `COPYJOB_KEEP_DAYS`: for how many days records of runs are kept.
    """

    jobs: str
    state: str
    connections: str = ""
    keep_days: int = 90

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the settings.

        Raises:
            ConfigError: a setting is missing or cannot be understood; it names all of them.
        """
        missing = [name for name in _MEANING if not environment.get(name)]
        if missing:
            raise ConfigError(
                f"the setting {' and '.join(missing)} is missing",
                fix="; ".join(f"Set {name} to {_MEANING[name]}" for name in missing),
                code="setting-missing",
            )
        days = environment.get("COPYJOB_KEEP_DAYS") or "90"
        if not days.isdecimal() or int(days) < 1:
            raise ConfigError(
                "the setting COPYJOB_KEEP_DAYS is no number of days",
                fix="Set it to a whole number from 1, such as 90",
                code="setting",
            )
        return cls(
            jobs=environment["COPYJOB_JOBS"],
            state=environment["COPYJOB_STATE"],
            connections=environment.get("COPYJOB_CONNECTIONS", ""),
            keep_days=int(days),
        )

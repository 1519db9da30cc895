"""The settings of a service: each is declared here, and read from the environment here alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from copy_core.errors import ConfigError
from copy_core.service.jobs_registry import jobs_opener
from copy_core.state.registry import state_opener

Reader = Literal["app", "serve"]
"""Who reads a setting: the app on Azure Functions, or `copyjob serve`."""

_Environment = Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """An environment variable; on Azure it is an app setting.

    Attributes:
        name: its name.
        meaning: what it tells.
        values: what it may be set to.
        readers: who reads it.
        needed_by: who does not start without it.
        default: what holds where it is not set, or empty; "" where that needs more words.
        secret: whether its value is one.
        given: whether Azure sets it by itself, and nobody else should.
        option: the option of `copyjob serve` that may be given in its place; "" if none.
        check: raises what is wrong with a value; it may look at other variables.
    """

    name: str
    meaning: str
    values: str
    readers: tuple[Reader, ...] = ("app", "serve")
    needed_by: tuple[Reader, ...] = ()
    default: str = ""
    secret: bool = False
    given: bool = False
    option: str = ""
    check: Callable[[str, _Environment], object] = lambda _value, _environment: None

    def read(self, environment: _Environment) -> str:
        """Its value, or what holds without one."""
        return environment.get(self.name) or self.default

    def called(self, reader: Reader) -> str:
        """What somebody knows it by who may have to change it."""
        return f"{self.name} ({self.option})" if self.option and reader == "serve" else self.name


def _like(pattern: str) -> Callable[[str, _Environment], None]:
    def check(value: str, _environment: _Environment) -> None:
        if not re.fullmatch(pattern, value):
            raise ConfigError("it is none of the values that it may have")

    return check


def _platform_signs_in(auth: str, environment: _Environment) -> None:
    """Whoever asks is named by a header, which anybody could send if the platform did not."""
    _like("key|entra")(auth, environment)
    if auth == "entra" and AUTH_ENABLED.read(environment).casefold() != "true":
        raise ConfigError(
            "it is entra, and App Service authentication is not switched on",
            fix="Switch it on for the app, or remove COPYJOB_AUTH to use function keys",
        )


JOBS: Final = Setting(
    "COPYJOB_JOBS",
    "where the job files are",
    "https://ACCOUNT.blob.core.windows.net/CONTAINER, or a folder",
    needed_by=("app",),
    default=".",
    option="--jobs",
    check=jobs_opener,
)
STATE: Final = Setting(
    "COPYJOB_STATE",
    "where the state is; `copyjob serve` keeps it beside job files that are in a folder",
    "https://ACCOUNT.table.core.windows.net, or a file",
    needed_by=("app", "serve"),
    option="--state",
    check=state_opener,
)
CONNECTIONS: Final = Setting(
    "COPYJOB_CONNECTIONS",
    "the file with the connections that jobs may name; without it, connections.yaml beside the"
    " job files",
    "a file",
    option="--connections",
)
KEEP_DAYS: Final = Setting(
    "COPYJOB_KEEP_DAYS",
    "for how many days records of runs are kept",
    "a whole number from 1, such as 90",
    default="90",
    check=_like("[1-9][0-9]{0,5}"),
)
AUTH: Final = Setting(
    "COPYJOB_AUTH",
    "who may use the API: whoever has a function key, or whoever App Service authentication has"
    " signed in",
    "key or entra",
    readers=("app",),
    default="key",
    check=_platform_signs_in,
)
AUTH_ENABLED: Final = Setting(
    "WEBSITE_AUTH_ENABLED",
    "whether App Service authentication is switched on",
    "True or False",
    readers=("app",),
    default="False",
    given=True,
)
TOKEN: Final = Setting(
    "COPYJOB_TOKEN",
    "the token that callers of the API know; without it, a fresh one is printed at each start",
    "a long random text of 16 characters or more",
    readers=("serve",),
    secret=True,
)
IDENTITY: Final = Setting(
    "AZURE_CLIENT_ID",
    "the client id of the user-assigned managed identity that signs in; without it, the"
    " system-assigned one does. With AZURE_TENANT_ID and AZURE_CLIENT_SECRET, a service principal",
    "a GUID",
    check=_like("(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"),
)
SIGN_IN: Final = Setting(
    "AZURE_TOKEN_CREDENTIALS",
    "which ways of signing in are tried; all that azure-identity knows when it is not set",
    "prod, dev, or a way's name, such as ManagedIdentityCredential",
    check=_like("(?i:prod|dev|[a-z]+Credential)"),
)

SETTINGS: Final = (
    JOBS, STATE, CONNECTIONS, KEEP_DAYS, AUTH, AUTH_ENABLED, TOKEN, IDENTITY, SIGN_IN,
)  # fmt: skip
"""Every environment variable that is copyjob's own, or decides how it starts and signs in.

Connections name others by `${env:NAME}`, and libraries read theirs (OpenTelemetry, the Functions
host)."""


@dataclass(frozen=True)
class Settings:
    """What a service needs to know.

    Attributes:
        jobs: `COPYJOB_JOBS`: where the job definitions are; see `open_jobs`.
        state: `COPYJOB_STATE`: where the state is; see `open_state`.
        connections: `COPYJOB_CONNECTIONS`: the file with the connections that jobs may name; empty
            for `connections.yaml` beside the job files.
        keep_days: `COPYJOB_KEEP_DAYS`: for how many days records of runs are kept.
        signed_in: `COPYJOB_AUTH` is `entra`: the platform has people sign in.
        token: `COPYJOB_TOKEN`: the token of the API; empty to make one up.
    """

    jobs: str
    state: str
    connections: str = ""
    keep_days: int = 90
    signed_in: bool = False
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, reader: Reader, environment: _Environment = os.environ) -> Settings:
        """Reads the settings. Asks nobody, and imports no SDK: it may be done at any start.

        Args:
            reader: who reads them.
            environment: the environment variables.

        Raises:
            ConfigError: settings are missing or wrong; it names all of them.
        """
        jobs = JOBS.read(environment)
        if reader == "serve" and not STATE.read(environment) and _is_folder(jobs):
            state = str(Path(jobs, ".copyjob", "state.db"))
            environment = {**environment, STATE.name: state}
        _check(reader, environment)
        return cls(
            jobs=jobs,
            state=STATE.read(environment),
            connections=CONNECTIONS.read(environment),
            keep_days=int(KEEP_DAYS.read(environment)),
            signed_in=reader == "app" and AUTH.read(environment) == "entra",
            token=TOKEN.read(environment) if reader == "serve" else "",
        )


def _check(reader: Reader, environment: _Environment) -> None:
    """Raises everything that is wrong with the settings, as one error."""
    missing, problems, fixes = [], [], []
    for setting in SETTINGS:
        value, name = environment.get(setting.name), setting.called(reader)
        if reader in setting.readers and value:
            try:
                setting.check(value, environment)
            except ConfigError as e:
                problems.append(f"the setting {name} is wrong: {e.what}")
                fixes.append(e.fix or f"Set {name} to {setting.values}")
        elif reader in setting.needed_by:
            missing.append(name)
            fixes.append(f"Set {name} to {setting.values}")
    if missing:
        problems.insert(0, f"the setting {' and '.join(missing)} is missing")
    if problems:
        code = "setting-missing" if missing else "setting"
        raise ConfigError("; ".join(problems), fix="; ".join(fixes), code=code)


def _is_folder(jobs: str) -> bool:
    return ":" not in jobs[2:]  # perhaps with a drive of Windows

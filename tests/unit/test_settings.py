"""The settings of a service: read from the environment, all that is wrong told at once."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from copy_core.errors import ConfigError
from copy_core.service.settings import SETTINGS, Reader, Settings

APP = {
    "COPYJOB_JOBS": "https://shop.blob.core.windows.net/jobs",
    "COPYJOB_STATE": "https://shop.table.core.windows.net",
}
IDENTITY = "0c9f2a1e-0000-4000-8000-00000000beef"


def refused(reader: Reader, environment: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        Settings.from_environment(reader, environment)
    return error.value


def test_the_app_needs_little() -> None:
    settings = Settings.from_environment("app", APP)
    assert (settings.jobs, settings.state) == tuple(APP.values())
    assert (settings.connections, settings.keep_days, settings.signed_in) == ("", 90, False)


def test_serve_needs_nothing_at_all() -> None:
    settings = Settings.from_environment("serve", {})
    assert (settings.jobs, Path(settings.state)) == (".", Path(".copyjob/state.db"))
    assert settings.token == ""


@pytest.mark.parametrize("jobs", ["https://shop.blob.core.windows.net/jobs", "blobs:${env:IT}"])
def test_serve_is_told_the_state_of_jobs_that_are_in_no_folder(jobs: str) -> None:
    error = refused("serve", {"COPYJOB_JOBS": jobs, "IT": "AccountName=me"})
    assert error.what == "the setting COPYJOB_STATE (--state) is missing"


def test_what_is_set_is_taken() -> None:
    given = {
        **APP,
        "COPYJOB_CONNECTIONS": "here.yaml",
        "COPYJOB_KEEP_DAYS": "7",
        "COPYJOB_AUTH": "entra",
        "WEBSITE_AUTH_ENABLED": "True",
        "COPYJOB_TOKEN": "a-token-of-copyjob-serve",
        "AZURE_CLIENT_ID": IDENTITY.upper(),
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
    }
    app, serve = (Settings.from_environment(reader, given) for reader in get_args(Reader))
    assert (app.connections, app.keep_days, app.signed_in, app.token) == ("here.yaml", 7, True, "")
    assert (serve.signed_in, serve.token) == (False, "a-token-of-copyjob-serve")
    assert serve.token not in repr(serve)


def test_an_empty_setting_is_none() -> None:
    empty = {setting.name: "" for setting in SETTINGS}
    assert Settings.from_environment("app", empty | APP) == Settings.from_environment("app", APP)


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "COPYJOB_STATE": "https://shop.example.com",
        "COPYJOB_KEEP_DAYS": "0",
        "COPYJOB_AUTH": "entra",
        "AZURE_CLIENT_ID": "the-identity",
        "AZURE_TOKEN_CREDENTIALS": "best",
    }
    error = refused("app", wrong)
    for name in ("COPYJOB_JOBS", *wrong):
        assert f"the setting {name} is" in error.what
    assert error.code == "setting-missing"
    assert "COPYJOB_JOBS to https://ACCOUNT.blob.core.windows.net/CONTAINER" in error.fix
    assert "COPYJOB_KEEP_DAYS to a whole number" in error.fix


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("COPYJOB_JOBS", "ftp://jobs"),
        ("COPYJOB_JOBS", "https://shop.dfs.core.windows.net/jobs"),
        ("COPYJOB_JOBS", "blobs:${env:NOT_SET}/jobs"),
        ("COPYJOB_STATE", "tables:AccountKey=c2VjcmV0"),
        ("COPYJOB_STATE", "tables:${env:NOT_SET}"),
        ("COPYJOB_KEEP_DAYS", "-1"),
        ("COPYJOB_KEEP_DAYS", "٣"),
        ("COPYJOB_KEEP_DAYS", "9" * 5000),
        ("COPYJOB_AUTH", "none"),
        ("COPYJOB_AUTH", "Entra"),
        ("COPYJOB_AUTH", "entra"),
        ("AZURE_CLIENT_ID", "/subscriptions/1/resourceGroups/copyjob"),
        ("AZURE_TOKEN_CREDENTIALS", "prod,dev"),
    ],
)
def test_a_wrong_value_is_told_and_not_repeated(setting: str, value: str) -> None:
    error = refused("app", APP | {setting: value})
    assert f"the setting {setting} is wrong" in error.what
    assert error.fix
    assert (error.code, "c2VjcmV0" in str(error)) == ("setting", False)


def test_people_sign_in_where_the_platform_sees_to_it_alone() -> None:
    """Or anybody could send the header that says who has signed in."""
    entra = APP | {"COPYJOB_AUTH": "entra"}
    assert "App Service authentication is not switched on" in refused("app", entra).what
    assert refused("app", entra | {"WEBSITE_AUTH_ENABLED": "False"}).fix.startswith("Switch it on")
    assert Settings.from_environment("app", entra | {"WEBSITE_AUTH_ENABLED": "true"}).signed_in


def test_a_setting_of_the_other_is_not_looked_at() -> None:
    assert not Settings.from_environment("serve", {"COPYJOB_AUTH": "none"}).signed_in


def test_secrets_in_references_come_from_the_same_environment() -> None:
    given = {"COPYJOB_JOBS": "blobs:${env:STORE}", "COPYJOB_STATE": "tables:${env:STORE}"}
    assert Settings.from_environment("app", given | {"STORE": "AccountName=me"}).jobs


def test_a_default_may_be_set_as_well() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS if setting.default}
    assert Settings.from_environment("app", APP | defaults) == Settings.from_environment(
        "app", APP | {"COPYJOB_JOBS": "."}
    )

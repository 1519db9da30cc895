"""The functions that Azure finds in the app, and that it offers none when settings are missing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copy_core.steps import Steps

ROOT = Path(__file__).parents[2]
JOBS = {"COPYJOB_JOBS": "https://shop.blob.core.windows.net/jobs"}


def test_the_app_offers_the_flows_as_orchestrators_and_the_steps_as_activities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COPYJOB_JOBS", JOBS["COPYJOB_JOBS"])
    monkeypatch.setenv("COPYJOB_STATE", "https://shop.table.core.windows.net")
    function_app = importlib.import_module("function_app")
    found: dict[str, set[str]] = {}
    for function in function_app.app.get_functions():
        found.setdefault(function.get_trigger().type, set()).add(function.get_function_name())
    steps = {name for name in dir(Steps) if not name.startswith("_")}
    assert found["orchestrationTrigger"] == {"run_job", "copy_table"}
    assert found["activityTrigger"] == steps
    assert found["httpTrigger"] == {"api", "health"}
    assert found["timerTrigger"] == {"tick"}


SHOW = """
import function_app
for each in function_app.app.get_functions():
    trigger = each.get_trigger()
    if trigger.type == "httpTrigger":
        print(each.get_function_name(), trigger.auth_level.name)
"""


def loaded(**settings: str) -> subprocess.CompletedProcess[str]:
    """Loads the app as the Functions worker does, in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("COPYJOB_", "AZURE_"))}
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        env=clean | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_app_does_not_start_without_its_settings() -> None:
    done = loaded(COPYJOB_KEEP_DAYS="many")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "ConfigError: the setting COPYJOB_JOBS and COPYJOB_STATE is missing" in last
    assert "Set COPYJOB_STATE to https://ACCOUNT.table.core.windows.net" in last
    assert "COPYJOB_KEEP_DAYS is wrong" in last


SIGNED_IN = {"COPYJOB_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}


@pytest.mark.parametrize(("auth", "level"), [({}, "FUNCTION"), (SIGNED_IN, "ANONYMOUS")])
def test_a_key_is_asked_for_unless_people_sign_in(auth: dict[str, str], level: str) -> None:
    done = loaded(**JOBS, COPYJOB_STATE="state.db", **auth)
    assert done.stdout.splitlines() == ["health ANONYMOUS", f"api {level}"], done.stderr


def test_the_app_does_not_start_where_nobody_has_people_sign_in() -> None:
    done = loaded(**JOBS, COPYJOB_STATE="state.db", COPYJOB_AUTH="entra")
    assert "App Service authentication is not switched on" in done.stderr.splitlines()[-1]
    assert done.returncode == 1

"""The app on a host, with settings that it cannot work with: it offers no function at all."""

from __future__ import annotations

import pytest

from tests.durable.conftest import MakeSite


def test_without_settings_the_host_says_so_once_and_serves_nothing(make_site: MakeSite) -> None:
    wrong = {"COPYJOB_JOBS": "", "COPYJOB_STATE": "", "COPYJOB_KEEP_DAYS": "0"}
    with pytest.raises(AssertionError, match="the host did not start") as failed:
        make_site(environment=wrong)
    told = str(failed.value)
    assert told.count("the setting COPYJOB_JOBS and COPYJOB_STATE is missing") == 1
    assert "Set COPYJOB_STATE to https://ACCOUNT.table.core.windows.net" in told
    assert "the setting COPYJOB_KEEP_DAYS is wrong" in told

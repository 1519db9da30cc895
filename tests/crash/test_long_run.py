"""The long run itself, in short."""

from __future__ import annotations

import re

import pytest

from tests.crash.__main__ import main
from tests.crash.long_run import SHARE, shares

pytestmark = pytest.mark.timeout(900)


def test_it_ends_with_a_line_that_counts(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "12", "--seed", "7", "--workers", "2"]) == 0
    line = capfd.readouterr().out
    assert re.fullmatch(r"crash: \d+ schedules, \d+ kills, 0 lost, 0 doubled\n", line)


def test_its_shares_hold_all_schedules_and_are_as_random_as_they_can_be() -> None:
    planned = list(shares(10_000, 3))
    assert sum(share.size for share in planned) == 10_000
    assert len({share.seed for share in planned}) == len(planned) == 10_000 / SHARE

"""Coverage only rises."""

import tomllib

import pytest

from tests.coverage_floor import PROJECT, verdict


@pytest.mark.parametrize("covered", [90.0, 90.4, 90.9])
def test_a_floor_that_is_just_below_stays(covered: float) -> None:
    assert verdict(covered, 90) is None


def test_less_than_the_floor_is_refused() -> None:
    wrong = verdict(89.9, 90)
    assert wrong is not None
    assert "89.9 %" in wrong
    assert "test what you have added" in wrong


@pytest.mark.parametrize(("covered", "floor"), [(91.0, 90.5), (91.9, 91.4), (99.0, 98.5)])
def test_a_floor_that_can_be_raised_by_a_point_has_to_be(covered: float, floor: float) -> None:
    wrong = verdict(covered, 90)
    assert wrong is not None
    assert f"`fail_under = {floor}`" in wrong
    assert verdict(covered, floor) is None


def test_branches_count() -> None:
    coverage = tomllib.loads(PROJECT.read_text())["tool"]["coverage"]
    assert coverage["run"]["branch"] is True
    assert verdict(coverage["report"]["fail_under"], coverage["report"]["fail_under"]) is None

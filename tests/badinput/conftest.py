"""A desk for each test of bad input."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.badinput.desk")

from tests.badinput.desk import Desk  # noqa: E402 - pytest rewrites it only from here on


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A desk between the places that `between` chose, else between two SQLite files."""
    return Desk(tmp_path, *getattr(request, "param", ("sqlite", "sqlite")))

"""What the golden tests share."""

from pathlib import Path

import pytest

from tests.golden.kit import Golden


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Holds T-SQL against the files in `mssql`, or writes them: `pytest --update-golden`."""
    folder = Path(__file__).parent / "mssql"
    return Golden(folder, update=pytestconfig.getoption("update_golden"))

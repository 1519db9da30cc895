"""`copyjob doctor` on what stands for a Warehouse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from copy_core.cli import main
from copy_core.doctor import rows
from tests.mssql.test_warehouse import Warehouse, stand_in, warehouse

__all__ = ["stand_in"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    with closing(warehouse(request, "doctor")) as made:
        yield made


def test_a_warehouse_is_tried_and_nothing_stays(
    place: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Text of this server is not in UTF-8.
    monkeypatch.setitem(rows._SAMPLES, "string", ("plain", 'it\'s "quoted", and\nbroken'))
    path = tmp_path / "connections.json"
    connection = place.options.model_dump(mode="json", exclude_defaults=True)
    path.write_text(json.dumps({"connections": {"dwh": connection}}))
    args = ["doctor", "dwh", "--connections", str(path), "--write"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert "12 checks passed" in result.stdout
    assert place.database.tables() == []
    assert place.staged() == []

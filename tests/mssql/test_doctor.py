"""`copyjob doctor` on a live server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from copy_core.cli import main
from tests.mssql.server import Databases

pytestmark = pytest.mark.timeout(300)


def test_a_database_is_tried_and_nothing_stays(databases: Databases, tmp_path: Path) -> None:
    database = databases.take("doctor")
    database.run("CREATE TABLE orders (id int PRIMARY KEY, changed datetime2(6))")
    database.run("INSERT INTO orders VALUES (1, '2026-01-01'), (2, NULL)")
    path = tmp_path / "connections.json"
    connection = database.options.model_dump(mode="json", exclude_defaults=True)
    path.write_text(json.dumps({"connections": {"erp": connection}}))
    args = ["doctor", "erp", "--connections", str(path), "--table", "orders", "--write"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert "15 checks passed" in result.stdout
    assert "rows in the first batch: 2" in result.stdout
    assert database.tables() == ["_copyjob_ledger", "orders"]
    assert database.rows("SELECT COUNT(*) FROM _copyjob_ledger") == [(0,)]

"""What the quickstart shows to those whose table is in a SQL Server leads to a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from copy_core.cli import main
from tests.docs.quickstart import connections_for, job_for
from tests.mssql.server import Databases

pytestmark = pytest.mark.timeout(300)


def test_a_table_of_a_server_is_copied(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = databases.take("quickstart")
    database.run("CREATE TABLE dbo.orders (id int PRIMARY KEY, changed rowversion)")
    database.run("INSERT INTO dbo.orders (id) VALUES (1), (2)")
    shown = yaml.safe_load(connections_for("sql_server"))
    given = database.options.model_dump(mode="json", exclude_defaults=True)
    # The page's own words, but for what only this server knows.
    assert set(given) <= {*shown["connections"]["shop"], "trust_server_certificate"}
    shown["connections"]["shop"] |= given
    Path("connections.yaml").write_text(yaml.safe_dump(shown), "utf-8")
    Path("orders.yaml").write_text(job_for("dbo.orders"), "utf-8")
    for command in (["doctor", "shop", "orders.yaml"], ["run", "orders.yaml"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    assert "1 copied · 2 rows" in done.output

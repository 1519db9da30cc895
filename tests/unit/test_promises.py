"""What docs/guarantees.md promises of a copy as a whole, from one SQLite file to another."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from copy_core.cli import main
from copy_core.connectors.sql.sqlite_destination import SqliteDestination
from copy_core.model import Commit, Published, Staged


class Shop:
    """A shop's orders, which a job appends to another file; both in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: dict[str, Any] = {
            "name": "shop",
            "source": "shop",
            "destination": "copy",
            "mode": "incremental",
            "incremental_column": "id",
            "tables": [{"source": "orders"}],
            "limits": {"retries": 0},
            "connections": {
                "shop": {"type": "sqlite", "path": "shop.db"},
                "copy": {"type": "sqlite", "path": "copy.db"},
            },
        }
        self.sell("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        self.sell("INSERT INTO orders VALUES (1), (2)")

    def sell(self, statement: str) -> None:
        with closing(sqlite3.connect(self.folder / "shop.db")) as db, db:
            db.execute(statement)

    def copied(self, table: str = "orders") -> list[int]:
        with closing(sqlite3.connect(self.folder / "copy.db")) as db:
            return [row[0] for row in db.execute(f"SELECT id FROM {table} ORDER BY id")]

    def tell(self, command: str) -> dict[str, Any]:
        """What `copyjob COMMAND --json` says."""
        file = self.folder / "shop.yaml"
        file.write_text(yaml.safe_dump(self.job), "utf-8")
        done = CliRunner().invoke(main, [command, str(file), "--json"])
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def run(self) -> str:
        """Runs the job; returns the code of its error, "" when all went well."""
        [table] = self.tell("run")["tables"]
        return table["error"]["code"] if table["error"] else ""

    @property
    def watermark(self) -> str | None:
        [table] = self.tell("status")["tables"]
        value: str | None = table["watermark"]
        return value


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_destination_that_was_restored_is_not_appended_to(shop: Shop) -> None:
    assert shop.run() == ""
    shutil.copy(shop.folder / "copy.db", shop.folder / "backup.db")
    shop.sell("INSERT INTO orders VALUES (3)")
    assert shop.run() == ""
    shutil.copy(shop.folder / "backup.db", shop.folder / "copy.db")
    shop.sell("INSERT INTO orders VALUES (4)")
    assert shop.run() == "destination-lost"
    assert shop.copied() == [1, 2]


def test_another_destination_table_is_refused_until_the_reset(shop: Shop) -> None:
    assert shop.run() == ""
    shop.sell("INSERT INTO orders VALUES (3)")
    shop.job["tables"] = [{"source": "orders", "destination": "elsewhere"}]
    assert shop.run() == "definition-changed"
    done = CliRunner().invoke(main, ["reset", str(shop.folder / "shop.yaml"), "--all", "--yes"])
    assert done.exit_code == 0
    assert shop.run() == ""
    assert shop.copied("elsewhere") == [1, 2, 3]


def test_rows_that_get_lost_as_they_are_staged_stop_the_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = SqliteDestination.stage

    def loses_one(*args: Any) -> Staged:
        staged = stage(*args)
        return staged.model_copy(update={"rows": staged.rows - 1})

    monkeypatch.setattr(SqliteDestination, "stage", loses_one)
    assert shop.run() == "count-mismatch"
    assert shop.watermark is None
    monkeypatch.undo()
    assert shop.run() == ""
    assert shop.copied() == [1, 2]


def test_rows_that_get_lost_as_they_are_published_keep_the_watermark(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.run() == ""
    shop.sell("INSERT INTO orders VALUES (3)")
    publish = SqliteDestination.publish

    def loses_one(self: SqliteDestination, commit: Commit) -> Published:
        published = publish(self, commit)
        return published.model_copy(update={"rows": published.rows - 1})

    monkeypatch.setattr(SqliteDestination, "publish", loses_one)
    assert shop.run() == "count-mismatch"
    assert shop.watermark == "2"

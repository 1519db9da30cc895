"""Who moves over from another Copy job as docs/from-fabric.md says loses and doubles no row."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake

from tests.docs.newcomer import Newcomer
from tests.docs.pages import blocks, text_of

pytestmark = pytest.mark.timeout(300)

PAGE = "docs/from-fabric.md"

# What stands for the shop's database and the lakehouse of the page.
CONNECTIONS = """\
connections:
  shop: {type: sqlite, path: shop.db}
  lakehouse: {type: delta, root: lakehouse}
"""

Order = tuple[int, str | None]

COPIED: list[Order] = [(1, "2026-01-01 10:00:00"), (2, "2026-01-02 11:30:00")]
SINCE: list[Order] = [(3, "2026-01-02 11:30:01"), (4, "2026-01-04 08:00:00")]


class Shop:
    """A shop's orders, of which another program has appended some to a lakehouse.

    Args:
        folder: where both are.
        undated: an order that has no value in the incremental column, and was copied too.
    """

    def __init__(self, folder: Path, *undated: Order) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "connections.yaml").write_text(CONNECTIONS, "utf-8")
        with closing(sqlite3.connect(folder / "shop.db")) as db, db:
            db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, changed DATETIME)")
            db.executemany("INSERT INTO orders VALUES (?, ?)", [*COPIED, *SINCE, *undated])
        ids, times = zip(*COPIED, *undated, strict=True)
        changed = pa.array(times).cast(pa.timestamp("us"))
        rows = pa.table({"id": ids, "changed": pc.assume_timezone(changed, "UTC")})
        write_deltalake(folder / "lakehouse/orders", rows)

    @property
    def copied(self) -> list[int]:
        """The orders that are in the lakehouse now, each as often as it is there."""
        table = DeltaTable(self.folder / "lakehouse/orders").to_pyarrow_table()
        return sorted(table["id"].to_pylist())

    def job(self, **table: object) -> None:
        """Writes the page's job, with other settings of its table."""
        [text] = [block.text for block in blocks(PAGE, "yaml")]
        job = yaml.safe_load(text)
        job["tables"][0] |= table
        (self.folder / "orders.yaml").write_text(yaml.safe_dump(job), "utf-8")


@pytest.fixture
def reader(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path, installed=True)


def test_an_append_moves_over_without_a_gap_or_a_doubled_row(
    tmp_path: Path, reader: Newcomer
) -> None:
    shop = Shop(tmp_path / "work")
    (_, planned), (_, ran) = reader.follow(PAGE, shop.folder)
    assert "above 2026-01-02 11:30:00" in planned
    assert "1 copied · 2 rows" in ran
    assert shop.copied == [1, 2, 3, 4]


def test_rows_without_a_value_are_not_doubled_once_they_are_filtered(
    tmp_path: Path, reader: Newcomer
) -> None:
    shop = Shop(tmp_path / "work", (5, None))
    commands = "".join(block.text for block in blocks(PAGE, "sh"))
    [shown] = [part for part in text_of(PAGE).split("`") if part.startswith("filter: ")]
    shop.job(**yaml.safe_load(shown))
    reader.type(f"set -e\n{commands}", shop.folder)
    assert shop.copied == [1, 2, 3, 4, 5]


def test_a_merge_moves_over_by_copying_all_rows_once_more(tmp_path: Path, reader: Newcomer) -> None:
    shop = Shop(tmp_path / "work", (5, None))
    shop.job(write="upsert", keys=["id"])
    reader.type("copyjob run orders.yaml", shop.folder)
    assert shop.copied == [1, 2, 3, 4, 5]

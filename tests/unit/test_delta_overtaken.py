"""An upsert whose commit is overtaken keeps what it has done: files never change."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import write_deltalake

from tests.unit.delta_lake import Lake, aim, commit, interrupting, numbers


def test_a_file_is_written_anew_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "lake")
    for start in (0, 10):
        write_deltalake(lake.path(), numbers(5, start=start), mode="append")
    target = aim(numbers(1), 1, "upsert")
    staged = lake.stage(target, numbers(12, start=2, value="ours"))
    interrupting(
        monkeypatch,
        lambda: write_deltalake(lake.path(), numbers(5, start=20, value="theirs"), mode="append"),
    )
    lake.to.publish(commit(target, staged))
    written = [path.name for path in Path(lake.path()).rglob("*-kept-*.parquet")]
    assert len(written) == 2
    found = {row["id"]: row["v"] for row in lake.rows()}
    assert found == {
        **{n: f"v{n}" for n in (0, 1, 14)},
        **{n: f"ours{n}" for n in range(2, 14)},
        **{n: f"theirs{n}" for n in range(20, 25)},
    }


def test_a_file_that_others_compact_meanwhile_is_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    for start in (0, 10):
        write_deltalake(lake.path(), numbers(5, start=start), mode="append")
    target = aim(numbers(1), 1, "upsert")
    staged = lake.stage(target, numbers(12, start=2, value="ours"))

    def compact() -> None:
        lake.table().optimize.compact()

    interrupting(monkeypatch, compact)
    lake.to.publish(commit(target, staged))
    assert sorted(row["id"] for row in lake.rows()) == list(range(15))

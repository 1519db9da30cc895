"""Which files hold what some commits brought: against a model that follows every single row."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.delta.changes import Commit, changed
from copy_core.errors import ConfigError

Row = tuple[int, int]  # its key, and the version that wrote it
ADDS = ("append", "append", "append two")
MOVES = ("compact", "compact", "compact all", "stats")
REWRITES = ("update", "update", "overwrite")
OTHERS = ("delete file", "nothing")


class Table:
    """A table whose files' rows are known one by one, in two partitions.

    Attributes:
        commits: its log.
        rows: of every file there ever was.
        live: the files that it has now.
    """

    def __init__(self, seed: int, *, tells: bool) -> None:
        self._choose = random.Random(seed)
        self._tells = tells
        self._names, self._keys = count(), count()
        self.commits: list[Commit] = []
        self.rows: dict[str, list[Row]] = {}
        self.live: dict[str, str] = {}

    def snapshot(self) -> set[Row]:
        return {row for path in self.live for row in self.rows[path]}

    def act(self, kind: str) -> None:
        version = len(self.commits)
        actions: list[dict[str, Any]] = [{"commitInfo": {"operation": kind.upper()}}]
        live = sorted(self.live)
        if kind in ("append", "append two") or not live:
            for _ in range(2 if kind == "append two" else 1):
                rows = [(next(self._keys), version) for _ in range(2)]
                actions.append(self._add(rows, self._choose.choice("ab"), change=True))
        elif kind == "update":
            path = self._choose.choice(live)
            part, rows = self.live[path], self.rows[path]
            kept = [(key, version if n % 2 else then) for n, (key, then) in enumerate(rows)]
            actions += [self._remove(path, change=True), self._add(kept, part, change=True)]
        elif kind == "overwrite":
            actions += [self._remove(path, change=True) for path in live]
            actions.append(self._add([(next(self._keys), version)], "a", change=True))
        elif kind == "delete file":
            actions.append(self._remove(self._choose.choice(live), change=True))
        elif kind.startswith("compact"):
            chosen = [p for p in live if kind == "compact all" or self._choose.random() < 0.6]
            parts = {path: self.live[path] for path in chosen}
            for part in "ab":
                mine = [path for path in chosen if parts[path] == part]
                rows = [row for path in mine for row in self.rows[path]]
                self._choose.shuffle(rows)
                cut = self._choose.randrange(len(rows) + 1)
                actions += [self._remove(path, change=False) for path in mine]
                outputs = filter(None, (rows[:cut], rows[cut:]))
                actions += [self._add(output, part, change=False) for output in outputs]
        elif kind == "stats":
            path = self._choose.choice(live)
            actions.append(_action("add", path, self.live[path], change=False))
        self.commits.append(Commit(version, actions))

    def _add(self, rows: list[Row], part: str, *, change: bool) -> dict[str, Any]:
        path = f"{next(self._names)}.parquet"
        self.rows[path], self.live[path] = rows, part
        return _action("add", path, part, change=change)

    def _remove(self, path: str, *, change: bool) -> dict[str, Any]:
        part = self.live.pop(path)
        action = _action("remove", path, part, change=change)
        if not self._tells:
            del action["remove"]["partitionValues"]
        return action


def _action(kind: str, path: str, part: str, *, change: bool) -> dict[str, Any]:
    return {kind: {"path": path, "partitionValues": {"p": part}, "dataChange": change}}


def history(kinds: list[str], low: int, seed: int, *, tells: bool) -> tuple[Table, set[Row]]:
    """A table after these commits, and its rows after the first `low` of them."""
    table = Table(seed, tells=tells)
    before: set[Row] = set()
    for number, kind in enumerate(kinds):
        if number == low:
            before = table.snapshot()
        table.act(kind)
    return table, before if low < len(kinds) else table.snapshot()


def read(table: Table, low: int, *, again: bool) -> list[Row]:
    added = changed(table.commits[low:], again=again)
    return [row for file in added for row in table.rows[file.add["path"]]]


histories = st.lists(st.sampled_from([*ADDS, *MOVES, *REWRITES, *OTHERS]), min_size=1, max_size=9)
appends = st.lists(st.sampled_from([*ADDS, *MOVES]), min_size=1, max_size=9)
seeds, lows = st.integers(0, 2**32), st.integers(0, 6)


@settings(max_examples=400, deadline=None)
@given(kinds=histories, low=lows, seed=seeds, tells=st.booleans())
def test_an_upsert_of_what_changed_gives_the_table(
    kinds: list[str], low: int, seed: int, tells: bool
) -> None:
    table, before = history(kinds, low, seed, tells=tells)
    rows = read(table, low, again=True)
    keys = [key for key, _ in rows]
    assert len(keys) == len(set(keys))  # no key twice: no order is needed to tell the newest
    there = dict(before) | dict(rows)
    now = table.snapshot()
    # Deleted rows stay, as with every watermark.
    assert {(key, there[key]) for key, _ in now} == now
    assert {row for row in rows if row[0] in dict(now)} <= now


@settings(max_examples=400, deadline=None)
@given(kinds=appends, low=lows, seed=seeds, tells=st.booleans(), again=st.booleans())
def test_rows_that_are_only_added_and_moved_come_once(
    kinds: list[str], low: int, seed: int, tells: bool, again: bool
) -> None:
    table, before = history(kinds, low, seed, tells=tells)
    assert sorted(read(table, low, again=again)) == sorted(table.snapshot() - before)


@settings(max_examples=400, deadline=None)
@given(kinds=histories, low=lows, seed=seeds, tells=st.booleans())
def test_an_append_doubles_no_row_and_loses_none(
    kinds: list[str], low: int, seed: int, tells: bool
) -> None:
    table, before = history(kinds, low, seed, tells=tells)
    refused: list[str] = []
    try:
        rows = read(table, low, again=False)
    except ConfigError as e:
        refused.append(e.code)
    if refused:
        assert refused == ["rows-rewritten"]
        assert set(kinds[low:]) & set(REWRITES)
        return
    assert len(rows) == len(set(rows))
    assert not set(rows) & before
    assert table.snapshot() - before <= set(rows)


def commits(*actions: list[dict[str, Any]], start: int = 5) -> Iterator[Commit]:
    for version, each in enumerate(actions, start):
        yield Commit(version, json.loads(json.dumps(each)))


def add(path: str, *, change: bool = True, **more: Any) -> dict[str, Any]:
    return {"add": {"path": path, "partitionValues": {}, "dataChange": change, **more}}


def remove(path: str, *, change: bool = True) -> dict[str, Any]:
    return {"remove": {"path": path, "partitionValues": {}, "dataChange": change}}


def paths(*actions: list[dict[str, Any]], again: bool = False) -> list[str]:
    return [file.add["path"] for file in changed(commits(*actions), again=again)]


def test_a_rewriting_commit_is_named_with_what_it_was() -> None:
    merge = [{"commitInfo": {"operation": "MERGE"}}, remove("old"), add("new")]
    with pytest.raises(ConfigError) as refused:
        paths([add("a")], merge)
    assert "version 6" in str(refused.value)
    assert "MERGE" in str(refused.value)
    assert "write: upsert" in refused.value.fix
    assert paths([add("a")], merge, again=True) == ["a", "new"]


def test_rows_that_came_and_were_rewritten_within_a_window_are_no_rewriting() -> None:
    assert paths([add("a")], [remove("a"), add("b")]) == ["b"]
    moved = [add("a")], [remove("a", change=False), add("b", change=False)]
    assert paths(*moved) == ["a"]
    assert paths(*moved, [remove("b"), add("c")]) == ["c"]


def test_rows_that_were_moved_with_older_ones_and_then_partly_rewritten() -> None:
    moves = [remove("a", change=False), remove("old", change=False)]
    moves += [add("b", change=False), add("c", change=False)]
    until = [add("a")], moves
    # Which rows of `a` are in `c` nobody knows: older ones come with them, none comes twice.
    assert paths(*until, [remove("b"), add("d")], again=True) == ["d", "c"]
    with pytest.raises(ConfigError, match="version 7"):
        paths(*until, [remove("b"), add("d")])
    assert paths(*until, [remove("b")]) == ["a"]
    assert paths(*until, [remove("b"), remove("c")]) == []
    more = [*(remove(path, change=False) for path in "bc"), add("f", change=False)]
    with pytest.raises(ConfigError, match="version 8"):
        paths(*until, more, [remove("f"), add("g")])
    # A file is read once, also when it came back.
    assert paths(*until, [remove("b")], [add("a")]) == ["a"]


def test_what_a_restore_brings_back_is_no_new_row() -> None:
    restore = [{"commitInfo": {"operation": "RESTORE"}}, add("old")]
    with pytest.raises(ConfigError, match="RESTORE"):
        paths(restore)
    assert paths(restore, again=True) == ["old"]
    assert paths([add("a")], [{"commitInfo": {"operation": "RESTORE"}}, remove("a")]) == []


def test_a_file_whose_rows_were_moved_may_be_vacuumed() -> None:
    moves = [remove("a", change=False), remove("old", change=False), add("b", change=False)]
    found = changed(commits([add("a"), add("c")], moves), again=False)
    assert [(file.add["path"], file.version, file.moved) for file in found] == [
        ("c", 5, False),
        ("a", 5, True),
    ]


def test_vectors_of_deleted_rows_are_refused() -> None:
    vector = {"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}
    with pytest.raises(ConfigError, match="deletionVectors") as refused:
        paths([remove("a"), add("a", deletionVector=vector)], again=True)
    assert refused.value.code == "table-feature"

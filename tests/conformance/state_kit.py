"""What every state store does: subclass `StateKit` and give it the fixture `open_store`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.errors import ConflictError, TerminalError
from copy_core.model import RunSummary
from copy_core.state import history, lease
from copy_core.state.base import ABSENT, ANY, Row, StateStore
from copy_core.state.encoding import parse

OpenStore = Callable[[], StateStore]
"""Opens the test's own state once more, as another process would."""

RACERS = 16
ODD_NAMES = [
    "", " ", "dbo.Order Details", "a/b", "a\\b", "a#b", "a?b", "a%2Fb", "a%b", "it's", 'say "x"',
    "a&b=c+d", ",", ",a", "'", "tab\there", "nul\0here", "line\nbreak", "del\x7f", "c1\x85",
    "~", "!", "}", "}~", ".", "..", "Größe", "\uff26ULL", "売上", "\U0001f680", "\ufeffbom",
    "\u00e9", "e\u0301", "x" * 250, "/" * 250, "売" * 250, "\U0001f680" * 250,
]  # fmt: skip

# Text as the contract means it; a lone surrogate is no character.
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=250)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip
# Examples share a store, in partitions of their own; each store's class runs the same tests.
examples = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def keys(store: StateStore, partition: str, **asked: Any) -> list[str]:
    return [row.key for row in store.list(partition, **asked)]


def at_once(racers: int, run: Callable[[int], bool]) -> int:
    """Runs `run` in many threads that start together; returns how many said True."""
    start = Barrier(racers)

    def racer(n: int) -> bool:
        start.wait()
        return run(n)

    with ThreadPoolExecutor(racers) as pool:
        return sum(pool.map(racer, range(racers)))


def claims(store: StateStore, run_id: str, now: float = 0.0) -> bool:
    try:
        lease.claim(store, "job", 60, lease.Owner(run_id=run_id, holder="test"), lambda: now)
    except ConflictError:
        return False
    return True


class StateKit:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[StateStore]:
        with open_store() as store:
            yield store

    def test_a_row_is_read_as_it_was_written(self, store: StateStore) -> None:
        value = {
            "text": "Größe 売上 \U0001f680 \0 \u2028 \ud800",
            "large": 2**200,
            "negative": -(2**63),
            "float": 0.1,
            "nested": {"list": [1, None, True, {"": []}]},
        }
        etag = store.put("p", "k", value)
        assert store.get("p", "k") == ("k", value, etag)

    @examples
    @given(value=st.dictionaries(st.text(), json_values))
    def test_any_json_comes_back(self, store: StateStore, value: dict[str, Any]) -> None:
        etag = store.put("json", "k", value)
        assert store.get("json", "k") == ("k", value, etag)

    def test_a_missing_row_is_none(self, store: StateStore) -> None:
        store.put("p", "k", {})
        assert store.get("p", "other") is None
        assert store.get("other", "k") is None

    def test_a_write_replaces_the_whole_value(self, store: StateStore) -> None:
        store.put("p", "k", {"a": "x" * 100_000, "b": 1})
        store.put("p", "k", {"a": 2})
        row = store.get("p", "k")
        assert row is not None
        assert row.value == {"a": 2}

    def test_each_write_changes_the_etag(self, store: StateStore) -> None:
        etags = [store.put("p", "k", {"same": 1}) for _ in range(5)]
        assert len(set(etags)) == 5

    def test_other_handles_see_a_write_at_once(
        self, store: StateStore, open_store: OpenStore
    ) -> None:
        with open_store() as other:
            etag = store.put("p", "k", {"n": 1})
            assert other.get("p", "k") == ("k", {"n": 1}, etag)

    def test_the_expected_etag_lets_a_write_through(self, store: StateStore) -> None:
        first = store.put("p", "k", {"n": 1}, ABSENT)
        second = store.put("p", "k", {"n": 2}, first)
        assert store.get("p", "k") == ("k", {"n": 2}, second)

    def test_a_stale_etag_is_refused_and_changes_nothing(self, store: StateStore) -> None:
        stale = store.put("p", "k", {"n": 1})
        fresh = store.put("p", "k", {"n": 2})
        with pytest.raises(ConflictError):
            store.put("p", "k", {"n": 3}, stale)
        with pytest.raises(ConflictError):
            store.delete("p", "k", stale)
        assert store.get("p", "k") == ("k", {"n": 2}, fresh)

    def test_the_etag_of_a_removed_row_is_refused(self, store: StateStore) -> None:
        etag = store.put("p", "k", {})
        store.delete("p", "k", etag)
        with pytest.raises(ConflictError):
            store.put("p", "k", {}, etag)
        with pytest.raises(ConflictError):
            store.delete("p", "k", etag)
        assert store.get("p", "k") is None

    def test_the_etag_of_an_earlier_life_is_refused(self, store: StateStore) -> None:
        etag = store.put("p", "k", {"n": 1}, ABSENT)
        store.delete("p", "k")
        store.put("p", "k", {"n": 1}, ABSENT)
        with pytest.raises(ConflictError):
            store.put("p", "k", {"n": 2}, etag)

    def test_absent_is_only_for_rows_that_are_not_there(self, store: StateStore) -> None:
        etag = store.put("p", "k", {"n": 1}, ABSENT)
        with pytest.raises(ConflictError):
            store.put("p", "k", {"n": 2}, ABSENT)
        assert store.get("p", "k") == ("k", {"n": 1}, etag)
        store.delete("p", "k")
        store.put("p", "k", {"n": 3}, ABSENT)

    def test_a_row_that_is_not_there_may_be_deleted(self, store: StateStore) -> None:
        store.delete("p", "nothing", ANY)
        store.delete_prefix("p", "nothing")
        assert store.list("p") == []

    def test_one_of_many_writers_wins(self, store: StateStore, open_store: OpenStore) -> None:
        etag = store.put("p", "k", {"writer": None})

        def write(n: int) -> bool:
            with open_store() as own:
                try:
                    own.put("p", "k", {"writer": n}, etag)
                except ConflictError:
                    return False
                return True

        assert at_once(RACERS, write) == 1

    def test_no_increment_is_lost_on_a_shared_handle(self, store: StateStore) -> None:
        store.put("p", "k", {"n": 0})

        def increment(_: int) -> bool:
            while True:
                row = store.get("p", "k")
                assert row is not None
                try:
                    store.put("p", "k", {"n": row.value["n"] + 1}, row.etag)
                except ConflictError:
                    continue
                return True

        assert at_once(8, increment) == 8
        row = store.get("p", "k")
        assert row is not None
        assert row.value == {"n": 8}

    def test_one_of_many_claimers_gets_the_lease(
        self, store: StateStore, open_store: OpenStore
    ) -> None:
        def claim(n: int) -> bool:
            with open_store() as own:
                return claims(own, f"run-{n}")

        assert at_once(RACERS, claim) == 1
        assert lease.holder_of(store, "job", lambda: 0.0) is not None

    def test_an_expired_lease_changes_hands_and_fences_the_old_owner_off(
        self, store: StateStore, open_store: OpenStore
    ) -> None:
        assert claims(store, "old")

        def claim(n: int) -> bool:
            with open_store() as own:
                return claims(own, f"new-{n}", now=61.0)

        assert at_once(RACERS, claim) == 1
        for act in (
            lambda: lease.renew(store, "job", 60, "old", lambda: 61.0),
            lambda: lease.release(store, "job", "old"),
            lambda: lease.check(store, "job", "old"),
        ):
            with pytest.raises(ConflictError):
                act()
        holder = lease.holder_of(store, "job", lambda: 61.0)
        assert holder is not None
        assert holder.run_id.startswith("new-")

    def test_odd_names_are_told_apart(self, store: StateStore) -> None:
        for n, name in enumerate(ODD_NAMES):
            store.put("keys", name, {"n": n}, ABSENT)
            store.put(name, "k", {"n": n}, ABSENT)
        assert sorted(keys(store, "keys")) == sorted(ODD_NAMES)
        for n, name in enumerate(ODD_NAMES):
            for row in (store.get("keys", name), store.get(name, "k"), *store.list(name)):
                assert row is not None
                assert row.value == {"n": n}
        for name in ODD_NAMES:
            store.delete("keys", name)
        assert store.list("keys") == []
        store.put_many("keys", {name: {"n": n} for n, name in enumerate(ODD_NAMES)})
        for n, name in enumerate(ODD_NAMES):
            row = store.get("keys", name)
            assert row is not None
            assert row.value == {"n": n}
            store.put_many(f"in {name}", {"k": {"n": n}})
            assert [row.value for row in store.list(f"in {name}")] == [{"n": n}]
        store.delete_prefix("keys", "")
        assert store.list("keys") == []

    @examples
    @given(found=st.sets(names, max_size=4), prefix=st.text("ab./~?\U0010ffff", max_size=3))
    def test_any_names_are_listed_by_any_prefix(
        self, store: StateStore, found: set[str], prefix: str
    ) -> None:
        partition = uuid4().hex
        found |= {prefix + name for name in sorted(found)[:2]}
        store.put_many(partition, {name: {"is": name} for name in found})
        listed = keys(store, partition)
        assert sorted(listed) == sorted(found)
        matching = [key for key in listed if key.startswith(prefix)]
        assert keys(store, partition, prefix=prefix) == matching
        for after in listed:
            rest = listed[listed.index(after) + 1 :]
            # An empty `after` means from the beginning.
            assert keys(store, partition, after=after) == (rest if after else listed)
        store.delete_prefix(partition, prefix)
        assert keys(store, partition) == [key for key in listed if key not in matching]

    @examples
    @given(found=st.sets(st.text(st.characters(max_codepoint=126), max_size=20), max_size=20))
    def test_ascii_keys_are_listed_by_their_characters(
        self, store: StateStore, found: set[str]
    ) -> None:
        partition = uuid4().hex
        store.put_many(partition, {key: {} for key in found})
        assert keys(store, partition) == sorted(found)

    def test_every_ascii_character_has_its_place(self, store: StateStore) -> None:
        found = [f"a{chr(c)}{end}" for c in range(127) for end in ("", "\0", "~", "z")]
        store.put_many("ascii", {key: {} for key in found})
        assert keys(store, "ascii") == sorted(found)

    @pytest.mark.parametrize("odd", ["", ".", "/", "?", "%", "'", "~", "_", "*", "\\", "Z", "é"])
    def test_a_prefix_does_not_match_its_neighbours(self, store: StateStore, odd: str) -> None:
        inside = [f"a{odd}", f"a{odd}b", f"a{odd}\0", f"a{odd}~", f"a{odd}\U0001f680"]
        point = ord(odd) if odd else 0
        around = [f"a{chr(point + d)}x" for d in (-1, 1) if odd] + ["A", "b", "B~"]
        store.put_many("p", {key: {} for key in inside + around})
        assert sorted(keys(store, "p", prefix=f"a{odd}")) == sorted(
            key for key in inside + around if key.startswith(f"a{odd}")
        )
        store.delete_prefix("p", f"a{odd}")
        assert sorted(keys(store, "p")) == sorted(
            key for key in set(inside + around) if not key.startswith(f"a{odd}")
        )

    def test_long_names_are_told_apart_by_long_prefixes(self, store: StateStore) -> None:
        found = ["売" * 100 + end for end in ("", "a", "ab", "b", "売")] + [
            "売" * 60,
            "売" * 60 + "a",
        ]
        store.put_many("p", {key: {"key": key} for key in found})
        for prefix in ("売" * 20, "売" * 60, "売" * 99, "売" * 100, "売" * 100 + "a", "売" * 102):
            inside = sorted(key for key in found if key.startswith(prefix))
            assert sorted(keys(store, "p", prefix=prefix)) == inside
            assert len(keys(store, "p", prefix=prefix, limit=1)) == min(1, len(inside))
        store.delete_prefix("p", "売" * 100 + "a")
        assert len(keys(store, "p")) == len(found) - 2

    def test_a_long_list_comes_in_order_and_in_pages(self, store: StateStore) -> None:
        found = [f"part/{n:05d}" for n in range(1_250)]
        store.put_many("p", {key: {"key": key} for key in reversed(found)})
        store.put_many("p", {"other": {}, "part": {}})
        rows = store.list("p", "part/")
        assert [row.key for row in rows] == found
        assert all(row.value == {"key": row.key} for row in rows)
        assert keys(store, "p", prefix="part/", limit=1_100) == found[:1_100]
        assert keys(store, "p", prefix="part/", limit=0) == []
        pages: list[str] = []
        while page := keys(store, "p", prefix="part/", after=pages[-1] if pages else "", limit=500):
            pages += page
        assert pages == found
        assert keys(store, "p", prefix="part/", after="part/00100~", limit=1) == ["part/00101"]
        assert keys(store, "p", prefix="part/", after="z") == []
        assert keys(store, "p", prefix="part/", after="a", limit=1) == ["part/00000"]

    def test_many_rows_are_replaced_and_removed(self, store: StateStore) -> None:
        rows = {f"t/{n:03d}": {"n": n} for n in range(250)}
        store.put_many("p", rows)
        store.put_many("p", {key: {"again": value["n"]} for key, value in rows.items()})
        assert [row.value for row in store.list("p")] == [{"again": n} for n in range(250)]
        store.put("p", "t", {})
        store.put("p", "u/1", {})
        store.put("q", "t/1", {})
        store.delete_prefix("p", "t/")
        assert keys(store, "p") == ["t", "u/1"]
        assert keys(store, "q") == ["t/1"]
        store.delete_prefix("p", "")
        assert store.list("p") == []

    def test_nothing_is_nothing(self, store: StateStore) -> None:
        store.put_many("p", {})
        assert store.list("p") == []

    def test_rows_that_others_remove_meanwhile_do_no_harm(
        self, store: StateStore, open_store: OpenStore
    ) -> None:
        store.put_many("p", {f"t/{n:03d}": {} for n in range(250)})

        def remove(_: int) -> bool:
            with open_store() as own:
                own.delete_prefix("p", "t/")
            return True

        assert at_once(4, remove) == 4
        assert store.list("p") == []

    def test_a_large_value_comes_back(self, store: StateStore) -> None:
        value = {"rows": ["0123456789" * 10] * 4_850}
        store.put("p", "k", value)
        row = store.get("p", "k")
        assert row is not None
        assert row.value == value

    def test_many_large_values_come_back(self, store: StateStore) -> None:
        values = {f"{n:02d}": {"text": '"' * 100_000} for n in range(30)}
        store.put_many("p", values)
        assert {row.key: row.value for row in store.list("p")} == values
        store.delete_prefix("p", "")
        assert store.list("p") == []

    def test_a_too_large_value_is_refused(self, store: StateStore) -> None:
        etag = store.put("p", "k", {"n": 1})
        too_large = {"text": "x" * 500_001}
        with pytest.raises(TerminalError) as refused:
            store.put("p", "k", too_large, etag)
        assert refused.value.code == "state-too-large"
        assert refused.value.where == {"partition": "p", "key": "k"}
        with pytest.raises(TerminalError):
            store.put_many("p", {"other": {}, "k": too_large})
        assert store.list("p") == [("k", {"n": 1}, etag)]

    def test_it_says_where_it_is(self, store: StateStore, open_store: OpenStore) -> None:
        with open_store() as other:
            assert store.place == other.place != ""

    def test_a_row_of_another_shape_is_told_with_its_place(self, store: StateStore) -> None:
        row = Row("k", {"v": 99}, "etag")
        with pytest.raises(TerminalError) as damaged:
            parse(RunSummary, row, store, "p")
        assert damaged.value.code == "state-damaged"
        assert damaged.value.where == {"partition": "p", "key": "k", "state": store.place}

    def test_history_is_listed_newest_first_in_pages(self, store: StateStore) -> None:
        for n in (3, 1, 4, 0, 2):
            history.record(store, _summary(n))
        pages: list[Sequence[str]] = []
        before = None
        while True:
            page = history.runs(store, limit=2, before=before)
            pages.append([run.run_id for run in page.runs])
            before = page.next
            if before is None:
                break
        assert pages == [["run-4", "run-3"], ["run-2", "run-1"], ["run-0"]]

    def test_close_may_be_called_twice(self, open_store: OpenStore) -> None:
        store = open_store()
        store.put("p", "k", {})
        store.close()
        store.close()


def _summary(n: int) -> RunSummary:
    return RunSummary(
        run_id=f"run-{n}",
        job="sales",
        status="succeeded",
        started_at=f"2026-11-22T10:00:0{n}Z",
        ended_at=f"2026-11-22T10:01:0{n}Z",
    )

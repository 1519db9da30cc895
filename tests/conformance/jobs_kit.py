"""What every store of job files does: subclass `JobsKit` and give it the fixture `place`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from copy_core.errors import ConfigError, ConflictError
from copy_core.jobfile import JobFileError
from copy_core.service.jobs import JobDocument, JobStore

RACERS = 16
TEXT = "# Größe 売上 \U0001f680\r\nname: shop\n\tnever mind\n"
GOOD_NAMES = ["a", "Shop", "shop_2.daily-x", "0", "a.yaml", "x" * 100, "yaml"]
BAD_NAMES = [
    "", ".", "..", ".shop", "-shop", "a/b", "../shop", "a\\b", "a b", "shop\n", "Größe", "a%2Fb",
    "nul\0", "x" * 101, "connections", "Connections", "a?b", "a#b",
]  # fmt: skip


class Place(ABC):
    """Where a store keeps its files, as its operator gets at it."""

    @abstractmethod
    def open(self) -> JobStore:
        """Opens a store of this place, as another process would."""

    @abstractmethod
    def write(self, file: str, content: bytes) -> None:
        """Writes a file past the store."""

    @abstractmethod
    def remove(self, file: str) -> None:
        """Removes a file past the store."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """All files of the place and below, but for what a store keeps for itself."""


def wins(act: Callable[[], object]) -> bool:
    try:
        act()
    except ConflictError as e:
        if e.code == "changed":
            return False
        raise
    return True


def at_once(racers: int, run: Callable[[int], bool]) -> list[int]:
    """Runs `run` in many threads that start together; returns which said True."""
    start = Barrier(racers)

    def racer(n: int) -> bool:
        start.wait()
        return run(n)

    with ThreadPoolExecutor(racers) as pool:
        return [n for n, won in enumerate(pool.map(racer, range(racers))) if won]


class JobsKit:
    @pytest.fixture
    def store(self, place: Place) -> Iterator[JobStore]:
        store = place.open()
        yield store
        store.close()

    @pytest.fixture
    def other(self, place: Place) -> Iterator[JobStore]:
        store = place.open()
        yield store
        store.close()

    # Reading and writing

    def test_an_empty_place_has_no_jobs(self, store: JobStore) -> None:
        assert store.list() == {}
        assert store.get("shop") is None
        assert store.connections() is None

    def test_a_document_is_read_as_it_was_written(self, store: JobStore, other: JobStore) -> None:
        written = store.put("shop", TEXT, None)
        assert written[:3] == ("shop", "shop.yaml", TEXT)
        assert other.get("shop") == written
        assert other.list() == {"shop": written.etag}

    def test_a_large_document_comes_back(self, store: JobStore) -> None:
        text = "# 売上\n" * 1_000_000
        written = store.put("shop", text, None)
        assert store.get("shop") == written

    @pytest.mark.parametrize("text", ["", "\n", "{}"])
    def test_a_tiny_document_comes_back(self, store: JobStore, text: str) -> None:
        assert store.put("shop", text, None) == store.get("shop")

    @pytest.mark.parametrize("name", GOOD_NAMES)
    def test_names_of_jobs(self, store: JobStore, place: Place, name: str) -> None:
        written = store.put(name, TEXT, None)
        assert store.list() == {name: written.etag}
        assert store.get(name) == written
        assert place.files() == {f"{name}.yaml": TEXT.encode()}
        store.delete(name, written.etag)
        assert place.files() == {}

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_other_names_lead_nowhere(self, store: JobStore, place: Place, name: str) -> None:
        place.write("connections.yaml", b"connections: {}")
        before = place.files()
        assert store.get(name) is None
        with pytest.raises(ConfigError) as refused:
            store.put(name, TEXT, None)
        assert refused.value.code == "job-name"
        with pytest.raises(ConflictError):
            store.delete(name, "any")
        assert place.files() == before

    def test_jobs_are_listed_in_order_and_other_files_passed_over(
        self, store: JobStore, place: Place
    ) -> None:
        for file in ("b.yml", "c.json", "a.yaml", "B.yaml"):
            place.write(file, b"{}")
        for file in (
            "connections.yaml", ".hidden.yaml", "notes.txt", "-x.yaml", "a b.yaml", "a.yaml.bak",
            "yaml", ".yaml", "below/d.yaml", "e.yaml/f.yaml",
        ):  # fmt: skip
            place.write(file, b"{}")
        assert list(store.list()) == ["B", "a", "b", "c"]
        assert [store.get(name) is not None for name in ("b", "c", "d", "e")] == [
            True, True, False, False,
        ]  # fmt: skip

    def test_a_document_keeps_the_file_that_it_is_in(self, store: JobStore, place: Place) -> None:
        place.write("shop.json", b"{}")
        assert store.file("shop") == "shop.json"
        assert store.file("other") == "other.yaml"
        store.put("shop", '{"a": 1}', store.list()["shop"])
        assert place.files() == {"shop.json": b'{"a": 1}'}

    def test_a_job_is_not_taken_for_another_that_begins_alike(self, store: JobStore) -> None:
        store.put("shop.daily", TEXT, None)
        assert store.get("shop") is None
        store.put("shop", "x", None)
        assert list(store.list()) == ["shop", "shop.daily"]

    def test_a_byte_order_mark_is_no_text(self, store: JobStore, place: Place) -> None:
        place.write("shop.yaml", b"\xef\xbb\xbfname: shop")
        found = store.get("shop")
        assert found is not None
        assert found.text == "name: shop"

    def test_what_is_not_utf8_is_told_with_its_file(self, store: JobStore, place: Place) -> None:
        place.write("shop.yaml", b"name: shop\nsource: caf\xe9\n")
        with pytest.raises(JobFileError, match=r"shop\.yaml:2:1: the file is not UTF-8"):
            store.get("shop")
        store.put("shop", TEXT, store.list()["shop"])
        found = store.get("shop")
        assert found is not None
        assert found.text == TEXT

    # What is known already

    def test_a_current_document_is_given_back_itself(self, store: JobStore) -> None:
        known = store.put("shop", TEXT, None)
        assert store.get("shop", known) is known

    def test_a_changed_document_is_read(self, store: JobStore, place: Place) -> None:
        known = store.put("shop", TEXT, None)
        place.write("shop.yaml", b"by hand")
        found = store.get("shop", known)
        assert found is not None
        assert found.text == "by hand"
        assert found.etag == store.list()["shop"] != known.etag

    def test_a_removed_document_is_gone(self, store: JobStore, place: Place) -> None:
        known = store.put("shop", TEXT, None)
        place.remove("shop.yaml")
        assert store.get("shop", known) is None

    def test_a_document_may_move_to_another_file(self, store: JobStore, place: Place) -> None:
        known = store.put("shop", "{}", None)
        place.remove("shop.yaml")
        place.write("shop.json", b"{}")
        found = store.get("shop", known)
        assert found is not None
        assert found.file == "shop.json"

    def test_connections_lie_beside_the_jobs(self, store: JobStore, place: Place) -> None:
        place.write("connections.yml", b"connections: {}")
        found = store.connections()
        assert found is not None
        assert found[:3] == ("connections", "connections.yml", "connections: {}")
        assert store.connections(found) is found
        place.write("connections.yml", b"{}")
        again = store.connections(found)
        assert again is not None
        assert again.text == "{}"

    # Compare and set

    def test_the_expected_etag_lets_a_change_through(self, store: JobStore) -> None:
        first = store.put("shop", "one", None)
        second = store.put("shop", "two", first.etag)
        assert second.etag != first.etag
        assert store.get("shop") == second
        store.delete("shop", second.etag)
        assert store.get("shop") is None
        assert store.list() == {}

    def test_the_etag_of_the_list_lets_a_change_through(self, store: JobStore) -> None:
        store.put("shop", "one", None)
        store.put("shop", "two", store.list()["shop"])
        store.delete("shop", store.list()["shop"])
        assert store.list() == {}

    def test_a_stale_etag_is_refused_and_changes_nothing(
        self, store: JobStore, place: Place
    ) -> None:
        stale = store.put("shop", "one", None)
        fresh = store.put("shop", "two", stale.etag)
        assert not wins(lambda: store.put("shop", "three", stale.etag))
        assert not wins(lambda: store.put("shop", "three", None))
        assert not wins(lambda: store.put("shop", "three", ""))
        assert not wins(lambda: store.delete("shop", stale.etag))
        assert store.get("shop") == fresh
        place.write("shop.yaml", b"by hand")
        assert not wins(lambda: store.put("shop", "three", fresh.etag))
        assert not wins(lambda: store.delete("shop", fresh.etag))
        assert place.files() == {"shop.yaml": b"by hand"}

    def test_what_is_not_there_has_no_etag(self, store: JobStore) -> None:
        etag = store.put("shop", "one", None).etag
        store.delete("shop", etag)
        assert not wins(lambda: store.put("shop", "two", etag))
        assert not wins(lambda: store.delete("shop", etag))
        assert store.list() == {}

    def test_one_of_many_makes_a_document(self, place: Place) -> None:
        stores = [place.open() for _ in range(RACERS)]
        won = at_once(RACERS, lambda n: wins(lambda: stores[n].put("shop", f"{n}", None)))
        assert len(won) == 1
        assert place.files() == {"shop.yaml": f"{won[0]}".encode()}
        for store in stores:
            store.close()

    def test_one_of_many_changes_a_document(self, store: JobStore, place: Place) -> None:
        etag = store.put("shop", "before", None).etag
        won = at_once(RACERS, lambda n: wins(lambda: store.put("shop", f"{n}", etag)))
        assert len(won) == 1
        assert place.files() == {"shop.yaml": f"{won[0]}".encode()}

    def test_one_of_many_removes_a_document(self, store: JobStore) -> None:
        etag = store.put("shop", "before", None).etag
        assert len(at_once(RACERS, lambda _: wins(lambda: store.delete("shop", etag)))) == 1

    def test_of_changes_and_removals_one_wins(self, store: JobStore) -> None:
        etag = store.put("shop", "before", None).etag

        def act(n: int) -> bool:
            if n % 2:
                return wins(lambda: store.delete("shop", etag))
            return wins(lambda: store.put("shop", f"{n}", etag))

        won = at_once(RACERS, act)
        assert len(won) == 1
        found = store.get("shop")
        assert (found and found.text) == (None if won[0] % 2 else f"{won[0]}")

    def test_no_change_is_lost(self, place: Place) -> None:
        first = place.open()
        first.put("counter", "0", None)

        def add(_: int) -> bool:
            store = place.open()
            while True:
                now = store.get("counter")
                assert now is not None
                more = f"{int(now.text) + 1}"
                if wins(partial(store.put, "counter", more, now.etag)):
                    store.close()
                    return True

        at_once(6, add)
        first.close()
        assert place.files() == {"counter.yaml": b"6"}

    # Two files of one job

    @pytest.mark.parametrize("name", ["shop", "connections"])
    def test_two_files_of_one_name_are_refused_naming_both(
        self, store: JobStore, place: Place, name: str
    ) -> None:
        place.write(f"{name}.yaml", b"{}")
        place.write(f"{name}.json", b"{}")
        place.write("other.yaml", b"{}")

        def read() -> JobDocument | None:
            return store.connections() if name == "connections" else store.get(name)

        with pytest.raises(ConfigError) as refused:
            read()
        assert refused.value.code == "job-twice"
        assert f"{name}.json and {name}.yaml" in str(refused.value)
        assert store.get("other") is not None
        assert list(store.list()) == [*(["other"] if name == "connections" else ["other", name])]
        place.remove(f"{name}.json")
        assert read() is not None

    def test_nothing_is_written_beside_two_files(self, store: JobStore, place: Place) -> None:
        place.write("shop.yaml", b"1")
        place.write("shop.json", b"2")
        before = place.files()
        for etag in (None, store.list()["shop"], *store.list()["shop"].split()):
            with pytest.raises(ConfigError):
                store.put("shop", "3", etag)
            with pytest.raises(ConfigError):
                store.delete("shop", etag or "")
        assert place.files() == before

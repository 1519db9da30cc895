"""What every object store does: subclass `StoreKit` and give it the fixture `open_store`."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import pytest

from copy_core.connectors.files.store import NOTHING, Entry, Properties, Store, Upload
from copy_core.errors import ConfigError, ConflictError, TerminalError, TransientError
from tests.conformance.state_kit import at_once

OpenStore = Callable[[str], Store]
"""Opens the store below a root; roots of different names lie in one container or folder."""

RACERS = 16
# Their order is that of the keys' UTF-8 bytes: `-` and `.` come before `/`, and U+FF26 before
# U+1F680, which UTF-16 has the other way round.
IN_ORDER = ("B", "a-b", "a.b", "a/b", "a/b.c/d", "a/b0", "a0", "b", "é", "\uff26", "\U0001f680")
BETWEEN = ("A", "a", "a.", "a/", "a/b.c", "aa", "\U0010ffff")
ODD_KEYS = (
    "with space", " leading", "trailing ", "a+b", "100%", "a%2Fb", "a%252Fb", "a#b", "a?b=c&d",
    "it's", 'say "x"', "<&>", "a=b/c;d,e", "a\\b", "[x]*{y}", "!$()@~^`|:", "Größe 売上 \U0001f680",
    "e\u0301", "dots...", "..dots/...", ".hidden", "_copyjob/x", "del\x7f", "tab\there", "-",
    "key.with.dots/sub.folder/file.tar.gz", "/".join(["売" * 80] * 4), "/".join(["k" * 190] * 5),
)  # fmt: skip
OUTSIDE = ("", ".", "..", "../x", "a/../x", "a/..", "./x", "/x", "a//x", "a/", "a\0b")
FULL = Properties(
    content_type="text/csv; charset=utf-8",
    content_encoding="gzip",
    content_language="de",
    content_disposition='attachment; filename="x.csv"',
    cache_control="max-age=60",
    metadata={"owner": "someone", "note": "Größe = 売上 + \U0001f680", "plain": "=?a?= %41 b"},
    tags={"team": "sales", "a b": "c/d:e=f+g-h._i"},
)


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def keys(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix, after)]


def fill(store: Store, names: Sequence[str]) -> None:
    shuffled = random.Random(0).sample(names, len(names))
    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(lambda key: store.put(key, b""), shuffled))


def content(store: Store, key: str) -> bytes | None:
    entry = store.stat(key)
    return None if entry is None else store.read(entry, 0, entry.size)


def sent(upload: Upload, data: bytes) -> None:
    """Sends an object's parts in order."""
    for number in range(-(-len(data) // upload.part_bytes)):
        send(upload, data, number)


def send(upload: Upload, data: bytes, number: int) -> None:
    start = number * upload.part_bytes
    upload.put(number, memoryview(data)[start : start + upload.part_bytes])


def untimed(entry: Entry | None) -> Entry | None:
    """Some services do not tell what they have just written when that was."""
    return entry and entry._replace(modified=0)


class StoreKit:
    keeps: ClassVar[frozenset[str]] = frozenset(
        {"content_type", "content_encoding", "content_language", "content_disposition"}
        | {"cache_control", "metadata", "tags"}
    )
    """The properties that the store keeps."""
    knows_md5: ClassVar[bool] = True
    copies: ClassVar[bool] = False
    """Whether the service of the tests copies by itself from one root to another."""
    tells_unfinished: ClassVar[bool] = False
    one_upload_a_key: ClassVar[bool] = False
    """Whether the first of two uploads of a key that is complete ends the other."""
    many: ClassVar[int] = 5_000
    """How many objects the longest listing has."""
    unfit: ClassVar[frozenset[str]] = frozenset()
    """Of the odd keys, those that the service itself cannot have."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[Store]:
        with open_store("root") as store:
            yield store

    @pytest.fixture
    def other(self, open_store: OpenStore) -> Iterator[Store]:
        with open_store("root2") as store:
            yield store

    # Listing

    def test_it_lists_in_the_order_of_the_bytes(self, store: Store) -> None:
        fill(store, IN_ORDER)
        assert keys(store) == list(IN_ORDER)

    def test_a_listing_says_what_stat_says(self, store: Store) -> None:
        store.put("a/b", b"12345")
        store.put("c", b"")
        listed = list(store.list())
        assert listed == [store.stat("a/b"), store.stat("c")]
        assert [(e.key, e.size) for e in listed] == [("a/b", 5), ("c", 0)]

    def test_an_empty_store_lists_nothing(self, store: Store) -> None:
        assert keys(store) == []
        assert keys(store, "a/b") == []

    @pytest.mark.parametrize(
        "prefix", ["a", "a/", "a/b", "a/b.", "a/b.c/", "B", "é", "x", "a/x/", "b/"]
    )
    def test_a_prefix_is_the_beginning_of_a_key(self, store: Store, prefix: str) -> None:
        fill(store, IN_ORDER)
        assert keys(store, prefix) == [key for key in IN_ORDER if key.startswith(prefix)]
        assert store.holds(prefix) == any(key.startswith(prefix) for key in IN_ORDER)

    @pytest.mark.parametrize("prefix", ["", "a", "a/b"])
    @pytest.mark.parametrize(
        "after", [*IN_ORDER, "A", "a", "a.", "a/", "a/b.c", "aa", "\U0010ffff"]
    )
    def test_it_goes_on_after_a_key(self, store: Store, prefix: str, after: str) -> None:
        fill(store, IN_ORDER)
        follow = [k for k in IN_ORDER if k.encode() > after.encode() and k.startswith(prefix)]
        assert keys(store, prefix, after) == follow

    def test_it_lists_page_by_page(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """`page_size` is how many objects a store asks for at once, where it has such a thing."""
        monkeypatch.setattr(store, "page_size", 3, raising=False)
        names = [f"{n // 5:02}/{n:03}" for n in range(31)]
        fill(store, names)
        assert keys(store) == names
        assert keys(store, "03/") == names[15:20]
        assert keys(store, after=names[10]) == names[11:]

    def test_two_listings_at_a_time_do_not_mix(self, store: Store) -> None:
        fill(store, IN_ORDER)
        first, second = store.list(), store.list()
        both = [(next(first).key, next(second).key) for _ in IN_ORDER]
        assert both == [(key, key) for key in IN_ORDER]

    def test_a_sibling_root_is_another_store(self, store: Store, other: Store) -> None:
        store.put("x", b"1")
        other.put("y", b"2")
        assert keys(store) == ["x"]
        assert keys(other) == ["y"]
        assert store.stat("y") is None

    def test_a_root_that_nobody_wrote_below_is_empty(self, open_store: OpenStore) -> None:
        with open_store("new/and deep") as store:
            assert keys(store) == []
            assert not store.holds("")
            assert store.stat("x") is None
            store.put("x", b"1")
            assert keys(store) == ["x"]

    def test_thousands_are_listed_and_removed(self, store: Store) -> None:
        names = [f"{n * 5 // self.many}/{n:06}" for n in range(self.many)]
        fill(store, names)
        assert keys(store) == names
        half = self.many // 2
        assert keys(store, "2/", names[half]) == names[half + 1 : self.many * 3 // 5]
        store.remove(iter(names))
        assert keys(store) == []

    # Keys

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: key[:20].encode("unicode_escape"))
    def test_an_odd_key_is_a_key(self, store: Store, key: str) -> None:
        if key in self.unfit:
            with pytest.raises(ConfigError):
                store.put(key, b"1")
            return
        data = key.encode()
        assert store.put(key, data).key == key
        assert keys(store) == [key] == keys(store, key)
        assert content(store, key) == data
        store.move(key, f"{key[:100]}!moved")
        assert keys(store) == [f"{key[:100]}!moved"]
        upload = store.upload(key)
        sent(upload, data)
        assert untimed(upload.complete()) == untimed(store.stat(key))
        store.remove([key])
        assert keys(store) == [f"{key[:100]}!moved"]

    def test_keys_differ_by_case(self, store: Store) -> None:
        store.put("Key", b"1")
        store.put("key", b"2")
        assert keys(store) == ["Key", "key"]
        assert content(store, "Key") == b"1"

    @pytest.mark.parametrize("key", OUTSIDE)
    def test_a_key_that_leads_out_is_refused(self, store: Store, other: Store, key: str) -> None:
        entry = store.put("x", b"1")
        uses: list[Callable[[], object]] = [
            lambda: store.put(key, b""),
            lambda: store.upload(key),
            lambda: store.stat(key),
            lambda: store.read(entry._replace(key=key), 0, 1),
            lambda: store.properties(entry._replace(key=key)),
            lambda: store.move("x", key),
            lambda: store.move(key, "y"),
            lambda: store.remove([key]),
            lambda: store.discard([(key, entry.etag)]),
            lambda: store.copied(other, other.put("x", b"1"), key, Properties()),
        ]
        for use in uses[:-1] if not self.copies else uses:
            with pytest.raises(ConfigError) as caught:
                use()
            assert caught.value.code == "path-outside"
        assert keys(store) == ["x"]

    @pytest.mark.parametrize("prefix", ["../", "..", "root2", "../root2/", "/", "a/../../root2/"])
    def test_a_prefix_does_not_lead_out(self, store: Store, other: Store, prefix: str) -> None:
        other.put("y", b"1")
        assert keys(store, prefix) == []

    # Reading

    def test_what_is_not_there(self, store: Store) -> None:
        store.put("a/b", b"1")
        for key in ("x", "a", "a/b/c", "A/b", "a/B"):
            assert store.stat(key) is None

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 10), (0, 1), (9, 1), (3, 4), (0, 0), (5, 0), (10, 0)]
    )
    def test_a_range_is_exact(self, store: Store, start: int, length: int) -> None:
        entry = store.put("x", b"0123456789")
        assert store.read(entry, start, length) == b"0123456789"[start : start + length]

    @pytest.mark.parametrize(("start", "length"), [(5, 6), (10, 1), (0, 100), (50, 5)])
    def test_fewer_bytes_than_promised_are_an_error(
        self, store: Store, start: int, length: int
    ) -> None:
        entry = store.put("x", b"0123456789")
        with pytest.raises(TransientError) as caught:
            store.read(entry._replace(size=100), start, length)
        assert caught.value.code == "short-read"
        assert caught.value.where["file"] == "x"

    def test_an_empty_object(self, store: Store) -> None:
        entry = store.put("x", b"")
        assert entry.size == 0
        assert store.read(entry, 0, 0) == b""
        assert untimed(store.stat("x")) == untimed(entry)

    def test_the_etag_changes_with_the_bytes(self, store: Store) -> None:
        etags = [store.put("x", str(n).encode()).etag for n in range(10)]
        assert len(set(etags)) == 10
        assert all(etags)

    def test_a_changed_object_is_not_read(self, store: Store) -> None:
        entry = store.put("x", b"11111")
        store.put("x", b"22222")
        for use in (lambda: store.read(entry, 0, 5), lambda: store.properties(entry)):
            with pytest.raises(TransientError) as caught:
                use()
            assert caught.value.code == "file-changed"
            assert caught.value.where["file"] == "x"

    def test_a_removed_object_is_not_read(self, store: Store) -> None:
        entry = store.put("x", b"11111")
        store.remove(["x"])
        for use in (lambda: store.read(entry, 0, 5), lambda: store.properties(entry)):
            with pytest.raises(TransientError) as caught:
                use()
            assert caught.value.code == "file-moved"
            assert caught.value.where["file"] == "x"

    def test_many_threads_share_it(self, store: Store) -> None:
        data = random_bytes(1 << 20)
        entry = store.put("x", data)
        starts = range(0, len(data), 1 << 14)
        with ThreadPoolExecutor(RACERS) as pool:
            read = b"".join(pool.map(lambda start: store.read(entry, start, 1 << 14), starts))
        assert read == data

    # Writing

    def test_a_put_says_what_is_there(self, store: Store) -> None:
        before = store.now()
        entry = store.put("a/x", b"123")
        found = store.stat("a/x")
        assert found is not None
        assert untimed(found) == untimed(entry)
        # Some say when they answered instead, and a busy one takes its time.
        assert abs(found.modified - entry.modified) <= store.now() - before

    def test_a_put_replaces(self, store: Store) -> None:
        store.put("x", b"1")
        store.put("x", b"22")
        assert content(store, "x") == b"22"

    def test_only_if_nothing_is_there(self, store: Store) -> None:
        entry = store.put("x", b"1", NOTHING)
        refused(lambda: store.put("x", b"2", NOTHING), "x")
        assert untimed(store.stat("x")) == untimed(entry)

    def test_only_in_place_of_what_was_seen(self, store: Store) -> None:
        first = store.put("x", b"1")
        second = store.put("x", b"2", first.etag)
        refused(lambda: store.put("x", b"3", first.etag), "x")
        assert content(store, "x") == b"2"
        store.remove(["x"])
        refused(lambda: store.put("x", b"4", second.etag), "x")
        assert store.stat("x") is None

    @pytest.mark.parametrize("there", [True, False])
    def test_one_of_many_writers_wins(self, store: Store, there: bool) -> None:
        replacing = store.put("x", b"0").etag if there else NOTHING

        def wins(n: int) -> bool:
            try:
                store.put("x", f"by {n}".encode(), replacing)
            except ConflictError:
                return False
            winners.append(n)
            return True

        winners: list[int] = []
        assert at_once(RACERS, wins) == 1
        assert content(store, "x") == f"by {winners[0]}".encode()

    # Uploads

    def test_parts_make_an_object(self, store: Store) -> None:
        upload = store.upload("a/x")
        data = random_bytes(2 * upload.part_bytes + 7)
        sent(upload, data)
        entry = upload.complete()
        assert untimed(entry) == untimed(store.stat("a/x"))
        assert content(store, "a/x") == data
        assert keys(store) == ["a/x"]

    def test_parts_come_in_any_order_and_twice_from_any_thread(self, store: Store) -> None:
        upload = store.upload("x")
        data = random_bytes(3 * upload.part_bytes + 1)
        upload.put(0, bytes(upload.part_bytes))
        upload.put(3, b"?")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: send(upload, data, number), (3, 1, 0, 2, 1)))
        assert upload.complete().size == len(data)
        assert content(store, "x") == data

    @pytest.mark.parametrize("short", [0, 1])
    def test_whole_parts_are_fine(self, store: Store, short: int) -> None:
        upload = store.upload("x")
        data = random_bytes((2 - short) * upload.part_bytes)
        sent(upload, data)
        assert upload.complete().size == len(data)
        assert content(store, "x") == data

    def test_a_part_that_lacks_is_an_error(self, store: Store) -> None:
        upload = store.upload("x")
        upload.put(0, bytes(upload.part_bytes))
        upload.put(2, b"end")
        with pytest.raises(TerminalError) as caught:
            upload.complete()
        assert caught.value.code == "part-missing"
        upload.abandon()
        assert keys(store) == []

    def test_one_short_part_is_an_object(self, store: Store) -> None:
        upload = store.upload("x", 3)
        upload.put(0, b"1")
        upload.put(0, b"123")
        assert upload.complete().size == 3
        assert content(store, "x") == b"123"

    def test_no_part_is_an_empty_object(self, store: Store) -> None:
        store.put("x", b"old")
        assert store.upload("x").complete().size == 0
        assert content(store, "x") == b""

    @pytest.mark.parametrize("size", [None, 0, 1, 1 << 20, 1 << 30, 1 << 40, 4 << 40])
    def test_parts_are_few_enough_and_not_too_large(self, store: Store, size: int | None) -> None:
        upload = store.upload("x", size)
        try:
            assert 1 <= upload.part_bytes <= 1 << 30
            assert (size or 0) / upload.part_bytes <= 10_000
        finally:
            upload.abandon()

    def test_nobody_sees_it_before_it_is_complete(self, store: Store) -> None:
        store.put("x", b"old")
        upload, new = store.upload("x"), store.upload("y")
        data = random_bytes(upload.part_bytes + 1)
        for each in (upload, new):
            sent(each, data)
        assert content(store, "x") == b"old"
        assert keys(store) == ["x"]
        upload.complete()
        new.complete()
        assert content(store, "x") == content(store, "y") == data

    @pytest.mark.parametrize("parts", [0, 1, 2])
    def test_what_is_abandoned_leaves_nothing(self, store: Store, parts: int) -> None:
        upload = store.upload("a/x")
        for number in range(parts):
            upload.put(number, bytes(upload.part_bytes))
        upload.abandon()
        upload.abandon()
        assert keys(store) == []
        assert store.unfinished() is None

    def test_abandoning_what_is_complete_does_nothing(self, store: Store) -> None:
        upload = store.upload("x")
        data = random_bytes(upload.part_bytes + 1)
        sent(upload, data)
        upload.complete()
        upload.abandon()
        assert content(store, "x") == data

    def test_two_uploads_of_one_key_do_not_mix(self, store: Store) -> None:
        first, second = store.upload("x"), store.upload("x")
        ones, twos = b"1" * (first.part_bytes + 1), b"2" * (first.part_bytes + 2)
        for number in (0, 1):
            send(first, ones, number)
            send(second, twos, number)
        first.complete()
        assert content(store, "x") == ones
        if self.one_upload_a_key:
            with pytest.raises(TransientError) as caught:
                second.complete()
            assert caught.value.code == "upload-lost"
            second.abandon()
        else:
            second.complete()
        assert content(store, "x") == (ones if self.one_upload_a_key else twos)

    def test_readers_see_the_old_bytes_or_the_new(self, store: Store) -> None:
        store.put("x", b"0" * 1000)

        def replaced(n: int) -> bytes:
            store.put("x", str(n).encode() * (1000 + n))
            return b""

        def read(_: int) -> bytes:
            try:
                return content(store, "x") or b"it was gone"
            except TransientError:  # it changed between the look and the reading
                return b""

        with ThreadPoolExecutor(RACERS) as pool:
            done = list(pool.map(lambda n: (read, replaced)[n % 4 == 0](n % 10), range(100)))
        assert all(len(set(each)) <= 1 for each in done)

    def test_unfinished_uploads_are_told_of(self, store: Store) -> None:
        assert store.unfinished() is None
        upload = store.upload("a/x")
        data = random_bytes(2 * upload.part_bytes)
        sent(upload, data)
        began = store.unfinished()
        assert (began is not None) == self.tells_unfinished
        assert store.unfinished("a/") == began
        assert store.unfinished("b/") is None
        upload.complete()
        entry = store.stat("a/x")
        assert entry is not None
        assert began is None or began <= entry.modified
        assert store.unfinished() is None

    # Properties

    def kept(self, given: Properties) -> Properties:
        """What the store keeps of properties, as far as it can be told before."""
        return Properties(**{name: getattr(given, name) for name in self.keeps})

    def looked(self, store: Store, key: str) -> Properties:
        """The properties of an object, whose MD5 is right if it is known."""
        entry = store.stat(key)
        assert entry is not None
        found = store.properties(entry)
        digest = hashlib.md5(content(store, key) or b"").digest()
        assert found.md5 in (None, digest)
        return replace(found, md5=None)

    def test_properties_are_kept(self, store: Store) -> None:
        store.put("x", b"1", properties=FULL)
        assert self.looked(store, "x") == self.kept(FULL)

    @pytest.mark.parametrize("parts", [0, 1, 2])
    def test_properties_of_uploads_are_kept(self, store: Store, parts: int) -> None:
        upload = store.upload("x", properties=FULL)
        sent(upload, bytes(parts * upload.part_bytes))
        upload.complete()
        assert self.looked(store, "x") == self.kept(FULL)

    def test_properties_go_with_the_bytes(self, store: Store) -> None:
        store.put("x", b"1", properties=FULL)
        store.put("x", b"2", properties=Properties(content_type="a/b"))
        assert self.looked(store, "x") == self.kept(Properties(content_type="a/b"))

    def test_the_md5_is_known(self, store: Store) -> None:
        found = store.properties(store.put("x", b"123"))
        assert found.md5 == (hashlib.md5(b"123").digest() if self.knows_md5 else None)

    # Moving, removing, copying

    @pytest.mark.parametrize("parts", [0, 2])
    def test_a_move_takes_all_along(self, store: Store, parts: int) -> None:
        upload = store.upload("a/x", properties=FULL)
        data = random_bytes(parts * upload.part_bytes)
        sent(upload, data)
        upload.complete()
        store.put("b/y", b"old", properties=Properties(content_type="a/b"))
        store.move("a/x", "b/y")
        assert keys(store) == ["b/y"]
        assert content(store, "b/y") == data
        assert self.looked(store, "b/y") == self.kept(FULL)

    def test_a_move_that_was_made_is_made(self, store: Store) -> None:
        store.put("x", b"1")
        for _ in range(2):
            store.move("x", "deep/er/y")
        store.move("never", "z")
        assert keys(store) == ["deep/er/y"]
        assert content(store, "deep/er/y") == b"1"

    def test_a_move_to_where_it_is(self, store: Store) -> None:
        store.put("x", b"1")
        store.move("x", "x")
        assert content(store, "x") == b"1"

    def test_many_may_make_one_move(self, store: Store) -> None:
        store.put("x", b"1")

        def moves(_: int) -> bool:
            store.move("x", "y")
            return True

        assert at_once(RACERS, moves) == RACERS
        assert keys(store) == ["y"]
        assert content(store, "y") == b"1"

    def test_removing_what_is_not_there(self, store: Store) -> None:
        fill(store, IN_ORDER)
        store.remove(["never", IN_ORDER[0], "a/never", IN_ORDER[0]])
        store.remove([])
        assert keys(store) == list(IN_ORDER[1:])

    def test_what_is_the_same_still_is_discarded(self, store: Store) -> None:
        names = [f"{n // 100}/{n:03}" for n in range(300)]  # more than one request removes
        fill(store, names)
        seen = [(entry.key, entry.etag) for entry in store.list()]
        for key in (names[0], names[150]):
            store.put(key, b"new")
        store.remove([names[299]])
        for _ in range(2):
            store.discard([*seen, ("never", seen[0][1]), ("0", seen[0][1])])
            assert keys(store) == [names[0], names[150]]
        assert content(store, names[0]) == content(store, names[150]) == b"new"
        store.discard([])
        for entry in list(store.list()):
            store.discard([(entry.key, entry.etag)])
        assert keys(store) == []

    def test_odd_keys_are_discarded(self, store: Store) -> None:
        names = [key for key in ODD_KEYS if key not in self.unfit]
        seen = [(key, store.put(key, b"1").etag) for key in names]
        store.put(names[0], b"2")
        store.discard(seen)
        assert keys(store) == [names[0]]

    @pytest.mark.parametrize("size", [0, 1, 9 << 20])
    def test_the_service_copies_by_itself(self, store: Store, other: Store, size: int) -> None:
        data = random_bytes(size)
        other.put("from/Größe +%2F", data, properties=FULL)
        store.put("to", b"old", properties=FULL)
        entry = other.stat("from/Größe +%2F")
        assert entry is not None
        given = replace(FULL, content_type="a/b", metadata={"n": "ü"}, tags={})
        done = store.copied(other, entry, "to", given)
        assert (done is not None) == self.copies
        assert content(store, "to") == (data if done else b"old")
        assert self.looked(store, "to") == self.kept(given if done else FULL)
        assert done is None or untimed(done) == untimed(store.stat("to"))
        assert content(other, "from/Größe +%2F") == data

    @pytest.mark.parametrize("change", ["file-changed", "file-moved"])
    def test_what_changed_is_not_copied(self, store: Store, other: Store, change: str) -> None:
        entry = other.put("x", b"1")
        if change == "file-changed":
            other.put("x", b"2")
        else:
            other.remove(["x"])
        if self.copies:
            with pytest.raises(TransientError) as caught:
                store.copied(other, entry, "y", Properties())
            assert caught.value.code == change
            assert caught.value.where["file"] == "x"
        else:
            assert store.copied(other, entry, "y", Properties()) is None
        assert keys(store) == []

    # The store itself

    def test_its_clock_is_that_of_its_objects(self, store: Store) -> None:
        begun = time.time_ns()
        before = store.now()
        assert begun - 5 * 10**9 < before < time.time_ns() + 5 * 10**9
        store.put("x", b"1")
        entry = store.stat("x")
        assert entry is not None
        assert before - store.tick_ns <= entry.modified <= store.now() + store.tick_ns

    def test_it_has_a_name(self, store: Store, other: Store) -> None:
        assert store.label.endswith("root")
        assert store.label != other.label

    def test_it_closes_twice(self, open_store: OpenStore) -> None:
        store = open_store("root")
        store.put("x", b"1")
        store.close()
        store.close()
        with open_store("root") as again:
            assert keys(again) == ["x"]


class ServiceKit(StoreKit):
    """For services: the fixture `nowhere` is a store whose container does not exist."""

    def test_a_missing_container_is_named(self, nowhere: Store) -> None:
        entry = Entry("x", 1, 0, '"1"')
        uses: list[Callable[[], object]] = [
            lambda: list(nowhere.list()),
            lambda: nowhere.stat("x"),
            lambda: nowhere.read(entry, 0, 1),
            lambda: nowhere.properties(entry),
            lambda: nowhere.put("x", b"1"),
            lambda: nowhere.put("x", b"1", NOTHING),
            lambda: nowhere.move("x", "y"),
            lambda: nowhere.remove(["x"]),
            lambda: nowhere.discard([("x", "1")]),
        ]
        for use in uses:
            with pytest.raises(ConfigError) as caught:
                use()
            assert caught.value.code == "root-missing"

    def test_a_missing_container_is_named_when_a_large_object_is_sent(self, nowhere: Store) -> None:
        def use() -> None:
            upload = nowhere.upload("x")
            try:
                sent(upload, bytes(upload.part_bytes + 1))
                upload.complete()
            finally:
                upload.abandon()

        with pytest.raises(ConfigError) as caught:
            use()
        assert caught.value.code == "root-missing"


def refused(put: Callable[[], Entry], key: str) -> None:
    with pytest.raises(ConflictError) as caught:
        put()
    assert caught.value.code == "etag-changed"
    assert caught.value.where["file"] == key

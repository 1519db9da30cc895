"""Objects on their way between two folders, one of which fails when a test says so."""

from __future__ import annotations

import hashlib
import random
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.files import carry as carrying
from copy_core.connectors.files import parcel
from copy_core.connectors.files.carry import carry
from copy_core.connectors.files.checksums import Checksum, Digest
from copy_core.connectors.files.parcel import Carried, Errand
from copy_core.connectors.files.store import Entry, Properties, Store, Upload
from copy_core.connectors.files.stores import local
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import Cancelled, ConfigError, TerminalError, TransientError

PIECE = 1000


class Troubled(LocalStore):
    """A folder whose reads and writes do something first, and which knows checksums.

    Attributes:
        on_read: told the object, start and length of each read, from any thread.
        on_put: told the key of each object and piece that is to be written.
        after_put: told the same when it is.
        md5: the MD5 of objects, by key.
        crc32: their CRC32, by key.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.on_read: Callable[[Entry, int, int], None] = lambda _e, _s, _l: None
        self.on_put: Callable[[str], None] = lambda _: None
        self.after_put: Callable[[str], None] = lambda _: None
        self.md5: dict[str, bytes] = {}
        self.crc32: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def properties(self, entry: Entry) -> Properties:
        super().properties(entry)
        return Properties(md5=self.md5.get(entry.key), crc32=self.crc32.get(entry.key))

    def read(self, entry: Entry, start: int, length: int) -> bytes:
        self.on_read(entry, start, length)
        return super().read(entry, start, length)

    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = None,
        properties: Properties | None = None,
    ) -> Entry:
        self.on_put(key)
        entry = super().put(key, data, replacing, properties)
        self.after_put(key)
        return entry

    def upload(
        self, key: str, size: int | None = None, properties: Properties | None = None
    ) -> Upload:
        return Told(super().upload(key, size, properties), key, self)


class Told(Upload):
    def __init__(self, inner: Upload, key: str, store: Troubled) -> None:
        self.part_bytes = inner.part_bytes
        self._inner, self._key, self._store = inner, key, store

    def put(self, number: int, data: bytes | memoryview) -> None:
        self._store.on_put(self._key)
        self._inner.put(number, data)
        self._store.after_put(self._key)

    def complete(self) -> Entry:
        return self._inner.complete()

    def abandon(self) -> None:
        self._inner.abandon()


class Ends:
    """Two folders."""

    def __init__(self, folder: Path) -> None:
        for name in ("from", "to"):
            (folder / name).mkdir(exist_ok=True)
        self.source, self.destination = Troubled(folder / "from"), Troubled(folder / "to")

    def put(self, key: str, size: int) -> bytes:
        data = random.Random(f"{key}{size}").randbytes(size)
        LocalStore.put(self.source, key, data)
        return data

    def carry(self, **errand: object) -> list[Carried]:
        items = [(entry, entry.key) for entry in self.source.list()]
        wanted = Errand(self.source, self.destination, **errand)  # type: ignore[arg-type]
        return list(carry(wanted, items))

    def arrived(self) -> list[str]:
        return [entry.key for entry in self.destination.list()]

    def content(self, key: str) -> bytes:
        entry = self.destination.stat(key)
        assert entry is not None
        return LocalStore.read(self.destination, entry, 0, entry.size)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "PIECE", PIECE)
    monkeypatch.setattr(local, "_PART_BYTES", PIECE)
    monkeypatch.setattr(carrying, "_LEAST", 1)


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


def failing(error: Exception, times: int) -> Callable[..., None]:
    """Raises an error at the first calls."""
    left, lock = times, threading.Lock()

    def fail(*_: object) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left < 0:
                return
        raise error

    return fail


def crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def busy() -> TransientError:
    return TransientError("the service is busy", code="busy")


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sizes=st.lists(st.integers(0, 5 * PIECE), max_size=40), room=st.integers(1, 20 * PIECE))
def test_objects_of_any_sizes_arrive_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    room: int,
) -> None:
    monkeypatch.setattr(carrying, "IN_FLIGHT", room)
    ends = Ends(tmp_path_factory.mktemp("ends"))
    data = {f"{n:03}": ends.put(f"{n:03}", size) for n, size in enumerate(sizes)}
    ends.source.md5 = {
        key: hashlib.md5(some).digest() for key, some in data.items() if int(key) % 2
    }
    ends.source.crc32 = {key: crc32(some) for key, some in data.items() if int(key) % 3}
    told = [0, 0]

    def tell(objects: int, size: int) -> None:
        with ends.source.lock:
            told[0] += objects
            told[1] += size

    found = ends.carry(tell=tell)
    assert [carried.entry.key for carried in found] == list(data)
    assert {key: ends.content(key) for key in ends.arrived()} == data
    assert told == [len(sizes), sum(sizes)]


def test_no_more_bytes_are_held_than_there_is_room_for(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "IN_FLIGHT", 4 * PIECE)
    for n in range(8):
        ends.put(f"large{n}", 20 * PIECE)
        ends.put(f"small{n}", PIECE)
    held, most = 0, 0

    def read(_entry: Entry, _start: int, length: int) -> None:
        nonlocal held, most
        with ends.source.lock:
            held += length
            most = max(most, held)

    def put(_key: str) -> None:
        nonlocal held
        with ends.source.lock:
            held -= PIECE

    ends.source.on_read, ends.destination.after_put = read, put
    assert len(ends.carry()) == 16
    assert 2 * PIECE <= most <= 4 * PIECE


def test_no_more_is_read_while_there_is_enough_to_write(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "IN_FLIGHT", 10 * PIECE)
    monkeypatch.setattr(carrying, "_LOOK_S", 0.02)
    ends.put("a", 4 * PIECE)
    ends.put("b", 8 * PIECE)
    written, reading, looks = threading.Semaphore(0), list[int](), 0
    go_on = threading.Event()

    def put(_key: str) -> None:
        written.release()
        assert go_on.wait(60)

    def begin(entry: Entry) -> Properties:
        for _ in range(4 if entry.key == "b" else 0):  # those of the other are being written then
            assert written.acquire(timeout=60)
        return Properties()

    def read(entry: Entry, start: int, _length: int) -> None:
        if entry.key == "b":
            if not go_on.is_set():
                reading.append(start)
            assert go_on.wait(60)

    def check() -> None:
        """Is called before each piece, and time and again while there is no room for one."""
        nonlocal looks
        looks += len(reading) >= 2
        if looks > 20:
            go_on.set()

    monkeypatch.setattr(ends.source, "properties", begin)
    ends.source.on_read, ends.destination.on_put = read, put
    assert len(ends.carry(check=check)) == 2
    assert sorted(reading) == [0, PIECE]


def test_as_much_is_read_as_there_is_room_for_while_nothing_is_written(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "IN_FLIGHT", 8 * PIECE)
    data = ends.put("a", 8 * PIECE)
    together = threading.Barrier(8, timeout=60)

    def read(_entry: Entry, _start: int, _length: int) -> None:
        together.wait()

    ends.source.on_read = read
    ends.carry()
    assert ends.content("a") == data


@pytest.mark.parametrize("size", [0, 10, PIECE, 7 * PIECE + 1])
def test_what_fails_for_the_moment_is_tried_again(ends: Ends, size: int) -> None:
    data = ends.put("a", size)
    ends.source.on_read = failing(busy(), 2)
    ends.destination.on_put = failing(busy(), 2)
    ends.carry()
    assert ends.content("a") == data


def test_other_objects_arrive_while_one_is_tried_again(ends: Ends) -> None:
    data = {f"{n}": ends.put(f"{n}", 100 * n) for n in range(30)}
    ends.source.on_read = failing(busy(), 4)
    assert [carried.entry.key for carried in ends.carry()] == sorted(data)
    assert {key: ends.content(key) for key in ends.arrived()} == data


@pytest.mark.parametrize("size", [10, 4 * PIECE])
def test_what_fails_each_time_is_an_error_and_leaves_nothing(
    ends: Ends, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "_TRIES", 2)
    ends.put("a", size)
    ends.source.on_read = failing(busy(), 1000)
    with pytest.raises(TransientError, match="busy"):
        ends.carry()
    assert not list(Path(ends.destination.label).rglob("*"))


@pytest.mark.parametrize("size", [10, 4 * PIECE])
def test_what_is_refused_is_an_error_at_once(ends: Ends, size: int) -> None:
    ends.put("a", size)
    ends.destination.on_put = failing(ConfigError("no right to write", code="no-right"), 1000)
    with pytest.raises(ConfigError, match="no right"):
        ends.carry()
    assert not list(Path(ends.destination.label).rglob("*"))


@pytest.mark.parametrize("size", [10, 6 * PIECE])
def test_an_object_that_changes_is_read_anew(ends: Ends, size: int) -> None:
    ends.put("a", size)
    changed = b""

    def change(_entry: Entry, start: int, _length: int) -> None:
        nonlocal changed
        if not changed and (start or size <= PIECE):
            changed = ends.put("a", size + 1)

    ends.source.on_read = change
    (carried,) = ends.carry()
    assert carried.entry == ends.source.stat("a")
    assert ends.content("a") == changed


@pytest.mark.parametrize("size", [10, 6 * PIECE])
def test_an_object_that_went_away_or_is_not_wanted_any_more_is_left_out(
    ends: Ends, size: int
) -> None:
    for key in ("gone", "later", "stays"):
        ends.put(key, size)
    first = {entry.key: entry.modified for entry in ends.source.list()}
    changed = set[str]()

    def change(entry: Entry, start: int, _length: int) -> None:
        with ends.source.lock:
            if entry.key in changed or (size > PIECE and not start):
                return
            changed.add(entry.key)
        if entry.key == "gone":
            ends.source.remove(["gone"])
        if entry.key == "later":
            ends.put("later", size + 1)

    ends.source.on_read = change
    found = ends.carry(keeps=lambda entry: entry.modified <= first[entry.key])
    assert [(c.entry.key, c.placed is None) for c in found] == [
        ("gone", True),
        ("later", True),
        ("stays", False),
    ]
    assert ends.arrived() == ["stays"]


def test_an_object_that_changes_all_the_time_is_an_error(ends: Ends) -> None:
    ends.put("a", 10)
    sizes = iter(range(1, 1000))

    def change(_entry: Entry, _start: int, _length: int) -> None:
        ends.put("a", next(sizes))

    ends.source.on_read = change
    with pytest.raises(TransientError) as caught:
        ends.carry()
    assert caught.value.code == "file-changed"


@pytest.mark.parametrize("name", ["MD5", "CRC32"])
@pytest.mark.parametrize("size", [10, 4 * PIECE])
def test_bytes_that_are_not_those_that_the_store_knows_never_appear(
    ends: Ends, size: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "_TRIES", 2)
    ends.put("a", size)
    if name == "MD5":
        ends.source.md5 = {"a": hashlib.md5(b"other").digest()}
    else:
        ends.source.crc32 = {"a": crc32(b"other")}
    with pytest.raises(TransientError, match=name) as caught:
        ends.carry()
    assert (caught.value.code, caught.value.where["file"]) == ("checksum-mismatch", "a")
    assert not ends.arrived()


def test_an_object_that_arrives_in_another_size_is_an_error(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.put("a", 10)
    put = LocalStore.put
    monkeypatch.setattr(LocalStore, "put", lambda self, key, data, *_: put(self, key, data[:-1]))
    with pytest.raises(TerminalError) as caught:
        ends.carry()
    assert caught.value.code == "size-mismatch"


def test_it_stops_between_two_pieces_when_it_is_asked_to(ends: Ends) -> None:
    for n in range(50):
        ends.put(f"{n:02}", 4 * PIECE)
    count = 0

    def check() -> None:
        if count >= 10:
            raise Cancelled("somebody asked to stop")

    def put(_key: str) -> None:
        nonlocal count
        with ends.source.lock:
            count += 1

    ends.destination.on_put = put
    with pytest.raises(Cancelled):
        ends.carry(check=check)
    assert count < 200
    left = [p for p in Path(ends.destination.label).rglob("*") if ".tmp" in p.name]
    assert not left


def test_a_piece_does_not_wait_for_one_that_will_not_come() -> None:
    entry, stopped = Entry("a", 2, 0, "e"), threading.Event()
    digest = Digest(Checksum("MD5", b""), entry, stopped)
    waiting = threading.Thread(target=digest.add, args=(1, b"x"), daemon=True)
    waiting.start()
    stopped.set()
    waiting.join(30)
    assert not waiting.is_alive()


def test_who_stops_looking_stops_the_work(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        ends.put(f"{n:02}", 4 * PIECE)
    looked = threading.Event()

    def begin(entry: Entry) -> Properties:
        # All others may arrive before the first one does.
        assert entry.key != "49" or looked.wait(60)
        return Properties()

    monkeypatch.setattr(ends.source, "properties", begin)
    items = ((entry, entry.key) for entry in ends.source.list())
    carried: Iterator[Carried] = carry(Errand(ends.source, ends.destination), items)
    assert next(carried).entry.key == "00"
    looked.set()
    carried.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("carry")]
    assert len(ends.arrived()) < 50


def test_an_error_of_the_listing_goes_through(ends: Ends) -> None:
    ends.put("a", 10)

    def items() -> Iterator[tuple[Entry, str]]:
        for entry in ends.source.list():
            yield entry, entry.key
        raise busy()

    with pytest.raises(TransientError, match="busy"):
        list(carry(Errand(ends.source, ends.destination), items()))


def test_the_service_copies_by_itself_where_it_can(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {f"{n}": ends.put(f"{n}", n * PIECE) for n in range(4)}
    asked = list[str]()

    def copied(
        self: Store, source: Store, entry: Entry, key: str, *, check: Callable[[], None]
    ) -> Entry | None:
        check()
        asked.append(key)
        if entry.size == 2 * PIECE:
            return None
        return LocalStore.put(self, key, LocalStore.read(source, entry, 0, entry.size))  # type: ignore[arg-type]

    monkeypatch.setattr(Troubled, "copied", copied)
    reads = list[str]()
    ends.source.on_read = lambda entry, _s, _l: reads.append(entry.key)
    ends.carry()
    assert sorted(asked) == sorted(data)
    assert set(reads) == {"2"}
    assert {key: ends.content(key) for key in ends.arrived()} == data

"""The ledger of a folder without a lock: whoever comes in between, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pytest

from copy_core.connectors.file_options import LocalOptions
from copy_core.connectors.files.destination import FileDestination
from copy_core.connectors.files.ledger import Ledger, Move
from copy_core.connectors.files.source import FileSource
from copy_core.connectors.files.store import ANYTHING, Entry, Properties
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import CopyJobError, TerminalError, TransientError
from copy_core.job import WriteMode
from copy_core.model import Commit, Published, Slice, Staged, Target
from copy_core.schema import schema_to_json


class Interrupted(LocalStore):
    """A store in which something happens once, just before it changes a page of the ledger or moves
    a file.

    Attributes:
        first: what happens; it is told the key.
    """

    first: Callable[[str], object] | None = None

    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = ANYTHING,
        properties: Properties | None = None,
    ) -> Entry:
        if "/ledger/" in key:
            self._happens(key)
        return super().put(key, data, replacing, properties)

    def move(self, source: str, key: str) -> None:
        self._happens(key)
        super().move(source, key)

    def _happens(self, key: str) -> None:
        if self.first:
            first, self.first = self.first, None
            first(key)


class Dies(BaseException):
    """The process ends here."""


@pytest.fixture
def store(tmp_path: Path) -> Interrupted:
    return Interrupted(str(tmp_path))


def opened(store: LocalStore) -> FileDestination:
    return FileDestination(store, LocalOptions(type="local", root=store.label))


def other(store: LocalStore) -> FileDestination:
    """What another process has."""
    return opened(LocalStore(store.label))


def aim(sequence: int = 1, write: WriteMode = "append", job: str = "job") -> Target:
    columns = tuple((n, kind, null) for n, kind, null in schema_to_json(numbers().schema))
    return Target(
        job=job, table="source", object="t", sequence=sequence, write=write, columns=columns
    )


def numbers(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def staged(to: FileDestination, target: Target, *ids: int) -> Commit:
    to.prepare(target)
    part: Staged = to.stage(target, 0, numbers(*ids).to_batches())
    return Commit(target=target, watermark=None, staged=(part,))


def load(to: FileDestination, target: Target, *ids: int) -> Published:
    published = to.publish(staged(to, target, *ids))
    to.clean(target)
    return published


def seen(store: LocalStore) -> list[int]:
    """What our own reader sees, which is what every other sees once nothing is pending."""
    source = FileSource(LocalStore(store.label), LocalOptions(type="local", root=store.label))
    batches = source.read(Slice(object="t", columns=("id",)), 100)
    return sorted(i for batch in batches for i in batch["id"].to_pylist())


def names(store: LocalStore) -> list[str]:
    """The files in place."""
    return [e.key for e in store.list("t/") if "/_copyjob/" not in e.key]


def waiting(store: LocalStore) -> list[str]:
    return [e.key for e in store.list("t/_copyjob/staging/")]


def dying(_: str) -> None:
    raise Dies


def test_a_part_that_is_cleared_away_while_it_is_published_is_missed(store: Interrupted) -> None:
    load(opened(store), aim(), 1)
    commit = staged(opened(store), aim(2), 2)
    store.first = lambda _: other(store).clean(aim(2))
    with pytest.raises(TerminalError) as raised:
        opened(store).publish(commit)
    assert raised.value.code == "staged-missing"
    assert seen(store) == [1]
    assert load(other(store), aim(2), 2).sequence == 2
    assert seen(store) == [1, 2]


def test_a_part_that_is_published_while_it_is_cleared_away_stays(store: Interrupted) -> None:
    load(opened(store), aim(), 1)
    commit = staged(opened(store), aim(2), 2)
    store.first = lambda _: other(store).publish(commit)
    opened(store).clean(aim(2))
    assert seen(store) == [1, 2]
    assert waiting(store) == []


def test_a_part_that_is_published_and_not_moved_yet_while_it_is_cleared_away_stays(
    store: Interrupted,
) -> None:
    commit = staged(opened(store), aim(), 1)
    rival = Interrupted(store.label)

    def commits(_: str) -> None:
        def dies(_: str) -> None:
            rival.first = dying  # Before the file is moved.

        rival.first = dies
        with pytest.raises(Dies):
            opened(rival).publish(commit)

    store.first = commits
    opened(store).clean(aim())
    assert seen(store) == [1]
    assert len(names(store)) == 1
    assert waiting(store) == []


def test_of_two_plans_of_one_sequence_one_is_published(store: Interrupted) -> None:
    first, second = staged(opened(store), aim(), 1), staged(opened(store), aim(), 2)
    results = []
    store.first = lambda _: results.append(other(store).publish(second))
    assert [opened(store).publish(first)] == results
    assert seen(store) == [2]
    opened(store).clean(aim())
    assert waiting(store) == []


def test_an_overwrite_replaces_what_was_there_and_not_what_comes_meanwhile(
    store: Interrupted,
) -> None:
    load(opened(store), aim(), 1)
    commit = staged(opened(store), aim(2, "overwrite"), 2)
    store.first = lambda _: load(other(store), aim(job="other"), 9)
    opened(store).publish(commit)
    assert seen(store) == [2, 9]
    assert len(names(store)) == 2


def test_an_overwrite_first_finishes_what_another_died_over(store: Interrupted) -> None:
    load(opened(store), aim(), 1)
    rival = Interrupted(store.label)
    left = staged(opened(rival), aim(job="other"), 9)
    rival.first = lambda _: setattr(rival, "first", dying)
    with pytest.raises(Dies):
        opened(rival).publish(left)
    load(opened(store), aim(2, "overwrite"), 2)
    assert seen(store) == [2]
    assert len(names(store)) == 1
    assert opened(rival).publish(left).sequence == 1  # It was, and is not doubled.
    assert seen(store) == [2]


def test_many_may_finish_one_commit_at_once(store: Interrupted) -> None:
    to = opened(store)
    load(to, aim(), *range(10))
    target = aim(2, "overwrite")
    to.prepare(target)
    parts = tuple(to.stage(target, n, numbers(100 + n).to_batches()) for n in range(20))
    commit = Commit(target=target, watermark=None, staged=parts)
    store.first = lambda _: setattr(store, "first", dying)
    with pytest.raises(Dies):
        to.publish(commit)
    barrier = Barrier(8)

    def finish(_: int) -> Published:
        barrier.wait()
        return other(store).publish(commit)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(finish, range(8)))
    assert len({str(each) for each in done}) == 1
    assert seen(store) == list(range(100, 120))
    assert len(names(store)) == 20
    assert waiting(store) == []


def test_who_slept_over_a_commit_removes_nothing_that_came_since(store: Interrupted) -> None:
    load(opened(store), aim(), 1)
    (old,) = names(store)
    ledger = Ledger(store, "t")
    page, etag = ledger.read("job", "source")
    pending = page.model_copy(update={"pending": Move(remove=(old.removeprefix("t/"),))})
    late = ledger.commit(pending, etag)
    assert ledger.read("job", "source")[0].pending is None  # Somebody else has finished it.
    store.put(old, b"by somebody")
    ledger.finish(pending, late)
    assert names(store) == [old]


def test_to_try_whether_one_may_write_leaves_nothing(store: Interrupted) -> None:
    Ledger(store, "t").probe()
    Ledger(store, "").probe()
    assert list(store.list()) == []


def test_a_table_may_be_the_root_itself(store: Interrupted) -> None:
    target = aim().model_copy(update={"object": "."})
    load(opened(store), target, 1, 2)
    assert [key.split("/")[0][:4] for key in (e.key for e in store.list())] == ["_cop", "job-"]
    assert opened(store).last_commit("job", "source", ".") is not None


def test_the_answer_to_a_commit_may_get_lost(store: Interrupted) -> None:
    """The store has changed the page, and says that it is busy: the next attempt finds out."""

    class Loses(LocalStore):
        lost = 0

        def put(self, key: str, *more: Any, **named: Any) -> Entry:
            entry = super().put(key, *more, **named)
            if "/ledger/" in key and not self.lost:
                self.lost += 1
                raise TransientError("no answer came")
            return entry

    to = opened(Loses(store.label))
    commit = staged(to, aim(), 1)
    with pytest.raises(CopyJobError):
        to.publish(commit)
    assert to.publish(commit).rows == 1
    assert seen(store) == [1]

"""What a folder shows while it is written to: all of a commit or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.files import folder
from copy_core.connectors.files.ledger import Ledger, Move, Page
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import ConfigError, TransientError

OLD = ["A.csv", "p=1/B.csv", "z.csv"]
NEW = ["C.csv", "b.csv", "p=1/c.csv"]


class Written(LocalStore):
    """Makes the next step of a commit after so many entries of a listing were handed out."""

    def __init__(self, root: Path, waits: Sequence[int]) -> None:
        super().__init__(str(root))
        self._waits = list(waits)
        self._steps: Iterator[Callable[[], object]] | None = None

    def begin(self, steps: Iterator[Callable[[], object]]) -> None:
        self._steps = steps

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """A page an entry, as large folders of object stores come in many pages."""
        self._pass()
        while entry := next(super().list(prefix, after), None):
            yield entry
            after = entry.key
            self._pass()

    def _pass(self) -> None:
        while self._steps and self._waits:
            if self._waits[0]:
                self._waits[0] -= 1
                return
            self._waits.pop(0)
            steps, self._steps = self._steps, None  # A step's own listings take no step.
            if step := next(steps, None):
                step()
            self._steps = steps


def commit(store: LocalStore, table: str, *, overwrite: bool) -> Iterator[Callable[[], object]]:
    """The steps of a commit, as the destination makes them."""
    ledger = Ledger(store, table)
    staged = {f"_copyjob/staging/k/1/{n}": name for n, name in enumerate(NEW)}
    move = Move(add=dict(staged), remove=tuple(OLD) if overwrite else ())
    page = Page(job="j", table="t", pending=move)
    etags: list[str] = []
    yield lambda: etags.append(ledger.commit(page, ""))
    for here, name in staged.items():
        yield partial(store.move, f"{table}/{here}", f"{table}/{name}")
    for name in move.remove:
        yield partial(store.remove, [f"{table}/{name}"])
    yield lambda: ledger.commit(page.model_copy(update={"pending": None}), etags[0])


def laid(root: Path, waits: Sequence[int] = ()) -> Written:
    store = Written(root, waits)
    for name in OLD:
        store.put(f"top/t/{name}", name.encode())
    for n, name in enumerate(NEW):
        store.put(f"top/t/_copyjob/staging/k/1/{n}", name.encode())
    return store


def csv(name: str) -> bool:
    return name.endswith(".csv")


@settings(max_examples=40, deadline=None)
@given(
    waits=st.tuples(st.integers(0, 25), st.lists(st.integers(0, 3), max_size=8)),
    overwrite=st.booleans(),
    name=st.sampled_from(["top/t", "top", "top/t/**/*.csv", "top/t/p=1", "top/t/p=*/*"]),
)
def test_a_look_sees_all_of_a_commit_or_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    waits: tuple[int, list[int]],
    overwrite: bool,
    name: str,
) -> None:
    root = tmp_path_factory.mktemp("root")
    store = laid(root, [waits[0], *waits[1]])
    store.begin(commit(store, "top/t", overwrite=overwrite))

    def shown(names: Sequence[str]) -> list[str]:
        return sorted(f"top/t/{n}" for n in names if "p=" not in name or n.startswith("p="))

    for _ in range(3):
        found = folder.files(store, name, csv)
        assert [file.key for file in found] in (shown(OLD), shown([*NEW, *(OLD * (not overwrite))]))
        for file in found:
            with folder.opened(LocalStore(str(root)), file) as data:
                assert f"top/t/{data.read().decode()}" == file.key


def test_what_waits_to_be_moved_is_shown_and_named_where_it_will_be(tmp_path: Path) -> None:
    store = laid(tmp_path)
    steps = commit(store, "top/t", overwrite=True)
    next(steps)()
    found = {file.key: file.waiting for file in folder.files(store, "top/t", csv)}
    assert found == {
        f"top/t/{name}": f"top/t/_copyjob/staging/k/1/{n}" for n, name in enumerate(NEW)
    }
    (one,) = folder.files(store, "top/t/b.csv", csv)
    assert one.waiting.endswith("/1")
    assert folder.files(store, "top/t/z.csv", csv) == []


def test_a_table_whose_first_commit_still_waits_is_listed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put("t/_copyjob/staging/k/1/0", b"")
    store.put("u/_copyjob/staging/k/1/0", b"")
    move = Move(add={"_copyjob/staging/k/1/0": "p=1/x.csv"})
    Ledger(store, "t").commit(Page(job="j", table="t", pending=move), "")
    assert folder.folders(store, csv) == ["t/p=1"]


def test_a_folder_that_changes_at_every_look_is_no_endless_wait(tmp_path: Path) -> None:
    class Busy(LocalStore):
        pages = 0

        def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
            self.pages += 1
            self.put("t/_copyjob/ledger/x.json", b'{"job": "j", "table": "%d"}' % self.pages)
            return super().list(prefix, after)

    store = Busy(str(tmp_path))
    with pytest.raises(TransientError) as raised:
        folder.files(store, "t", csv)
    assert raised.value.code == "folder-busy"


def test_names_of_objects_that_would_lead_out_are_refused(tmp_path: Path) -> None:
    class Odd(LocalStore):
        def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
            if prefix == "t/":
                yield Entry("t//x.csv", 1, 1, "e")
            yield from super().list(prefix, after)

    with pytest.raises(ConfigError) as raised:
        folder.files(Odd(str(tmp_path)), "t", csv)
    assert raised.value.code == "path-outside"
    assert raised.value.where == {"file": "t//x.csv"}

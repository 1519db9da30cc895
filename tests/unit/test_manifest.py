"""Lists of what was placed: written in runs, read as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.files import manifest
from copy_core.connectors.files.manifest import Manifest, Placed, Run, merged, once, strangers
from copy_core.connectors.files.store import Entry
from copy_core.connectors.files.stores.local import LocalStore
from copy_core.errors import ConfigError, TerminalError

KEYS = st.lists(st.text("ab/é😀\n", min_size=1, max_size=6), unique=True, max_size=40)


def placed(key: str) -> Placed:
    return Placed(key, f"from/{key}", "e")


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(KEYS, st.integers(1, 5), st.integers(1, 10))
def test_what_parts_have_placed_in_any_order_is_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str], parts: int, run: int
) -> None:
    monkeypatch.setattr(manifest, "RUN", run)
    store, runs = LocalStore(str(tmp_path)), list[Run]()
    for part in range(parts):
        written = Manifest(store, f"x/{part}")
        for key in keys[part::parts]:
            written.add(placed(key))
        written.flush()
        assert written.count == len(keys[part::parts])
        runs += written.runs
    runs = manifest.from_json(manifest.to_json(runs))
    assert list(merged(store, runs)) == [placed(key) for key in sorted(keys)]


def test_a_run_that_is_gone_is_an_error(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    written = Manifest(store, "x/0")
    written.add(placed("a"))
    written.flush()
    store.remove([written.runs[0].name])
    with pytest.raises(TerminalError) as caught:
        list(merged(store, written.runs))
    assert caught.value.code == "staged-missing"


def test_two_objects_of_one_name_are_named_both() -> None:
    twice = [placed("a"), placed("b"), Placed("b", "elsewhere/b", "e"), placed("c")]
    with pytest.raises(ConfigError, match="'from/b' and 'elsewhere/b' would both be called 'b'"):
        list(once(twice))
    assert list(once(twice[:2])) == twice[:2]


@given(KEYS, KEYS)
def test_strangers_are_those_that_were_not_placed(there: list[str], mine: list[str]) -> None:
    listing = [Entry(key, 1, 1, "e") for key in sorted(there)]
    found = [entry.key for entry in strangers(listing, map(placed, sorted(mine)))]
    assert found == sorted(set(there) - set(mine))

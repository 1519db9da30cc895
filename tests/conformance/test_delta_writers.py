"""Many writers of one Delta table at once: eight jobs, or the eight parts of one, and a rival that
appends, merges and compacts meanwhile. In a folder, in Azurite and in LocalStack.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from copy_core.connectors.options import DeltaOptions
from copy_core.connectors.registry import open_destination
from copy_core.job import WriteMode
from copy_core.model import Commit
from tests.conformance import writers
from tests.conformance.destination_kit import aim
from tests.conformance.writers import RUNS, Task, at_once, named
from tests.crash import lakes, places
from tests.crash.places import TABLE, Row, batch
from tests.crash.store_places import Kind, container, options
from tests.servers import Azurite

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

JOBS = PARTS = 8
ROUNDS = range(3)
"""How often the rival appends, merges and compacts meanwhile."""
PLACES = ("folder", "azurite", "localstack")
# What a mode does depends little on the place.
WRITES = [("folder", "append"), ("folder", "overwrite"), *((place, "upsert") for place in PLACES)]


@pytest.fixture(params=PLACES)
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> DeltaOptions:
    """A lake without a table."""
    if request.param == "folder":
        return DeltaOptions(type="delta", root=str(tmp_path / "lake"))
    server = request.getfixturevalue(request.param)
    azure = isinstance(server, Azurite)
    kind = Kind(
        "azure_blob" if azure else "s3",
        "binary",
        server.blob_endpoint if azure else server.endpoint,
        f"writers-{secrets.token_hex(8)}",
    )
    container(options(kind)).create()
    return lakes.options(kind)


def all_of(each: Iterable[list[Row]]) -> list[Row]:
    return list(chain.from_iterable(each))


def by_version(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row[2])


def test_jobs(lake: DeltaOptions, tmp_path: Path) -> None:
    """The table itself is made by whoever is first."""
    tasks = [
        Task(writers.job, (number, "upsert" if number % 2 else "append", tmp_path, lake))
        for number in range(1, JOBS + 1)
    ]
    expected = all_of(at_once([*tasks, Task(writers.rival, (lake, ROUNDS))]))
    assert places.rows(lake) == by_version(expected)
    assert [path for path in places.waiting(lake) if path.startswith("copyjob/")] == []
    with open_destination(lake) as destination:
        for number in range(1, JOBS + 1):
            published = destination.last_commit(named(number), TABLE, TABLE)
            assert published is not None
            assert published.sequence == RUNS


@pytest.mark.parametrize(("lake", "write"), WRITES, indirect=["lake"])
def test_parts(lake: DeltaOptions, write: WriteMode) -> None:
    """Each is staged by a process of its own; two processes then publish the same commit."""
    parts: list[list[Row]] = [
        [(key, 1, key) for key in range(part, 800, PARTS)] for part in range(PARTS)
    ]
    there: list[Row] = [(key, 0, -1000 - key) for key in range(100)]
    lakes.DeltaLake(lake).insert(there)
    target = aim(batch([]), write=write, object=TABLE)
    tasks = [Task(writers.stage, (lake, target, n, rows)) for n, rows in enumerate(parts)]
    *staged, first = at_once([*tasks, Task(writers.rival, (lake, range(1)))])
    commit = Commit(target=target, watermark=None, staged=tuple(staged))
    again = Task(writers.publish, (lake, commit))
    one, other, second = at_once([again, again, Task(writers.rival, (lake, range(1, 4)))])
    assert one == other
    assert one.rows == 800
    arrived, others = all_of(parts), first + second
    found = places.rows(lake)
    if write == "overwrite":
        # What the rival wrote before that is gone, and nothing that it wrote after it.
        assert [row for row in found if row[2] >= 0] == by_version(arrived)
        assert len(found) == len(set(found))
        assert set(found) <= {*arrived, *second}
        return
    replaced = {row[0] for row in arrived} if write == "upsert" else set()
    assert found == by_version([row for row in there + others if row[0] not in replaced] + arrived)

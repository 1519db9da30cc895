"""Real kills of runs from every kind of store to every other, in every format of rows.

A few points of each pair here; all of them with `pytest tests/crash/test_stores.py --every-point`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count, product
from pathlib import Path

import pytest

from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.ops import APPEND, OVERWRITE, DoRun, Insert, InsertNull, Op
from tests.crash.play import Play
from tests.crash.store_places import Kind, container, options
from tests.servers import Azurite, LocalStack

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(3600)

SERVICES = ("local", "s3", "azure_blob", "adls_gen2")
FORMS = ("parquet", "csv", "jsonl")
WRITES = {"append": APPEND, "overwrite": OVERWRITE}
# From and to this machine alone: see test_boundaries.
PAIRS = [pair for pair in product(SERVICES, SERVICES) if pair != ("local", "local")]
Case = tuple[tuple[str, str], str, str]
EVERY: list[Case] = [*product(PAIRS, FORMS, WRITES)]
SOME: list[Case] = [
    (pair, FORMS[n % 3], "overwrite" if n % 4 == 0 else "append") for n, pair in enumerate(PAIRS)
]
STRIDE = 29
TOUCHED = r" (source|destination)|after store\.(put|delete)"
"""The points that a store of files has to do with."""

Places = Callable[[str, str], str]


@pytest.fixture
def place(localstack: LocalStack, azurite: Azurite) -> Places:
    """Makes a new container of a service, for files of a format."""
    endpoints = {"s3": localstack.endpoint}

    def made(service: str, form: str) -> str:
        if service == "local":
            return form
        endpoint = endpoints.get(service, azurite.blob_endpoint)
        kind = Kind(service, form, endpoint, f"crash-{secrets.token_hex(8)}")
        container(options(kind)).create()
        return kind.text

    return made


def schedule(kill: int) -> list[Op]:
    """A first load and an increment, each killed at a point."""
    return [Insert(4), InsertNull(), DoRun(kill), Insert(3), InsertNull(), DoRun(kill), Insert(1)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each pair once, in one format and one mode, unless all is asked for."""
    cases = EVERY if metafunc.config.getoption("--every-point") else SOME
    names = [f"{source}-{target}-{form}-{write}" for (source, target), form, write in cases]
    metafunc.parametrize("case", cases, ids=names)


def test_points(
    tmp_path: Path,
    children: Children,
    place: Places,
    case: Case,
    pytestconfig: pytest.Config,
) -> None:
    (source, target), form, write = case
    every = pytestconfig.getoption("--every-point")
    numbers = count(1) if every else count(1 + SOME.index(case) % STRIDE, STRIDE)
    for kill in numbers:
        folder = tmp_path / str(kill)
        folder.mkdir()
        house = House(
            folder, children, (place(source, form), place(target, form)), {**WRITES[write]}
        )
        house.among = TOUCHED
        played = Play(house)
        try:
            played.play(schedule(kill))
        except AssertionError as e:
            e.add_note(f"{source} to {target}, {form}, {write}, killed at point {kill}")
            raise
        if not played.kills:
            return

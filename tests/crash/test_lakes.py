"""Real kills of runs from and to Delta tables in object stores: at the steps' boundaries, and amid
them, at each request that changes something there.

A few of each here; all with `pytest tests/crash/test_lakes.py --every-point`.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.crash.house import Happening, House, Run
from tests.crash.ops import (
    ALL_AGAIN,
    APPEND,
    LOOKBACK,
    OVERWRITE,
    REFRESH,
    UPSERT,
    DoRun,
    Insert,
    InsertNull,
    Op,
    Update,
)
from tests.crash.play import Play
from tests.crash.store_places import Kind, container, options
from tests.servers import Azurite, LocalStack
from tests.store_proxy import Exchange, Fault, Proxy, Rule, proxy

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(3600)

Pair = tuple[str, str]
MODES: dict[str, dict[str, Any]] = {
    "append": APPEND,
    "upsert": UPSERT,
    "lookback": LOOKBACK,
    "overwrite": OVERWRITE,
    "all-again": ALL_AGAIN,
    "refresh": REFRESH,
}
# Where each is killed here.
POINTS: dict[tuple[Pair, str], int] = {
    (("sqlite", "s3"), "append"): 38,
    (("sqlite", "azure"), "upsert"): 43,
    (("azure", "s3"), "lookback"): 30,
    (("s3", "azure"), "append"): 24,
    (("azure", "s3"), "overwrite"): 36,
    (("s3", "azure"), "all-again"): 34,
    (("sqlite", "s3"), "refresh"): 33,
    (("s3", "sqlite"), "upsert"): 12,
    (("azure", "sqlite"), "overwrite"): 18,
}
TOUCHED = r" (source|destination)|after store\.(put|delete)"
"""The points that a lake has to do with."""
REQUESTS: dict[tuple[Pair, str], int] = {
    (("sqlite", "s3"), "append"): 29,
    (("sqlite", "s3"), "upsert"): 17,
    (("sqlite", "s3"), "overwrite"): 25,
    (("sqlite", "azure"), "all-again"): 17,
    (("sqlite", "azure"), "refresh"): 12,
    (("sqlite", "azure"), "overwrite"): 7,
}


class Stores:
    """The services, a proxy before each, and lakes in them."""

    def __init__(self, localstack: LocalStack, azurite: Azurite, s3: Proxy, azure: Proxy) -> None:
        self._endpoints = {"s3": localstack.endpoint, "azure": azurite.blob_endpoint}
        self.proxies = {"s3": s3, "azure": azure}

    def kind(self, name: str) -> str:
        """A new container for a lake; `sqlite` is what it is called."""
        if name not in self._endpoints:
            return name
        service = {"s3": "s3", "azure": "azure_blob"}[name]
        kind = Kind(service, "binary", self._endpoints[name], f"crash-{secrets.token_hex(8)}")
        container(options(kind)).create()
        return kind._replace(form="delta").text


class LakeHouse(House):
    """A house whose runs reach the stores through their proxies.

    Attributes:
        strike: what becomes of the next run at one of its requests; None: nothing.
    """

    strike: Rule | None = None

    def __init__(
        self, folder: Path, children: Children, pair: Pair, mode: str, stores: Stores
    ) -> None:
        source, target = map(stores.kind, pair)
        super().__init__(folder, children, (source, target), dict(MODES[mode]))
        self._proxy = stores.proxies.get(pair[1])
        self.among = TOUCHED
        for connection in self._connections.values():
            if "AWS_ENDPOINT_URL" in connection.get("storage", {}):
                connection["storage"]["AWS_ENDPOINT_URL"] = stores.proxies["s3"].origin

    def run(self, kill: int = 0, happenings: Sequence[Happening] = (), **how: Any) -> Run:
        """Runs the job, and strikes at the store once; then as any other."""
        if self._proxy is None or self.strike is None:
            return super().run(kill, happenings, **how)
        self._proxy.reset(self.strike)
        self.strike = None
        try:
            return super().run(kill, happenings, **how)
        finally:
            self._proxy.reset()


@pytest.fixture(scope="module")
def stores(localstack: LocalStack, azurite: Azurite) -> Iterator[Stores]:
    with proxy(localstack.endpoint) as s3, proxy(azurite.blob_origin) as azure:
        yield Stores(localstack, azurite, s3, azure)


@pytest.fixture(scope="module")
def children(stores: Stores) -> Iterator[Children]:
    """Runs that find Azurite behind its proxy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(Azurite.BLOB_URL_VARIABLE, stores.proxies["azure"].origin)
        with Children("tests.crash.lakes", "tests.crash.store_places") as children:
            patch.undo()
            yield children


def schedule(kill: int) -> list[Op]:
    """A first load and an increment, each killed at a point."""
    first: list[Op] = [Insert(4), InsertNull(), DoRun(kill)]
    return [*first, Insert(3), Update(1), InsertNull(), DoRun(kill), Insert(1)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each case at one point, unless all is asked for."""
    cases = POINTS if metafunc.function is test_points else REQUESTS
    every = metafunc.config.getoption("--every-point")
    metafunc.parametrize(
        ("pair", "mode", "at"),
        [(pair, mode, None if every else at) for (pair, mode), at in cases.items()],
        ids=["-".join((*pair, mode)) for pair, mode in cases],
    )


def test_points(
    tmp_path: Path, children: Children, stores: Stores, pair: Pair, mode: str, at: int | None
) -> None:
    for kill in [at] if at else count(1):
        folder = tmp_path / str(kill)
        folder.mkdir()
        played = Play(LakeHouse(folder, children, pair, mode, stores))
        try:
            played.play(schedule(kill))
        except AssertionError as e:
            e.add_note(f"{'-'.join(pair)}, {mode}, killed at point {kill}")
            raise
        if not played.kills:
            break
    assert played.kills if at else kill > 30


def _kill(exchange: Exchange) -> None:
    """Kills whoever asks."""
    os.kill(exchange.asker(), signal.SIGKILL)
    exchange.reset()


def unheard(exchange: Exchange) -> None:
    """The run dies with its request on the way, which does not arrive."""
    _kill(exchange)


def cut(exchange: Exchange) -> None:
    """The run dies amid the body of its request."""
    exchange.forward_half()
    _kill(exchange)


def unanswered(exchange: Exchange) -> None:
    """The run dies before it hears that the store has done what it asked for."""
    exchange.forward()
    _kill(exchange)


DEATHS: list[Fault] = [unheard, cut, unanswered]


def writes(method: str, path: str) -> bool:
    """Whether a request changes something."""
    del path
    return method not in ("GET", "HEAD")


def test_requests(
    tmp_path: Path, children: Children, stores: Stores, pair: Pair, mode: str, at: int | None
) -> None:
    for number in [at] if at else count():
        folder = tmp_path / str(number)
        folder.mkdir()
        house = LakeHouse(folder, children, pair, mode, stores)
        played, death = Play(house), DEATHS[number % len(DEATHS)]
        strike = Rule(death, first=number // len(DEATHS), times=1, meets=writes)
        try:
            for op in schedule(0):
                house.strike = strike
                played.do(op)
            house.strike = None
            played.play([])
        except AssertionError as e:
            e.add_note(f"{'-'.join(pair)}, {mode}, request {number}, {death.__name__}")
            raise
        if not played.kills:
            break
    assert played.kills if at else number > 20

"""Real kills (SIGKILL) of runs into and out of what stands for a Warehouse: at every call of the
connector, before every statement that it sends, and at any moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.crash.children import Children
from tests.crash.house import Run
from tests.mssql import warehouse_places
from tests.mssql.kills import CLOCKED, SHARES, WRITES, Pair, Struck, play_moments, play_points
from tests.mssql.server import Databases
from tests.mssql.warehouse import KEY_VARIABLE, stand_in
from tests.servers import Azurite

__all__ = ["stand_in"]
# A slow machine is no broken promise.
pytestmark = [pytest.mark.timeout(3600), pytest.mark.usefixtures("stand_in")]

INTO: Pair = ("sqlite", "warehouse")
OUT_OF: Pair = ("warehouse", "sqlite")
POINTS: list[tuple[Pair, str]] = [
    (INTO, "append"),
    (INTO, "upsert"),
    (INTO, "overwrite"),
    (OUT_OF, "append"),
]


class ByStatement(Struck):
    """A house whose runs are killed before they send their statement of a number."""

    _statement = 0

    def run(self, kill: int = 0, *args: Any, **how: Any) -> Run:
        self._statement = kill
        return super().run(0, *args, **how)

    def _run_spec(self, *args: Any) -> dict[str, Any]:
        return super()._run_spec(*args) | {"statement": self._statement}


@pytest.fixture(scope="module")
def children(databases: Databases) -> Iterator[Children]:
    del databases  # whose password they inherit
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, Azurite.key)
        with Children("tests.mssql.warehouse_child") as children:
            yield children


class Builder:
    """Makes houses; the databases of each are empty again."""

    def __init__(self, children: Children, databases: Databases, azurite: Azurite) -> None:
        self._children, self._databases, self._azurite = children, databases, azurite

    def build(
        self, folder: Path, pair: Pair, rules: dict[str, Any], of: type[Struck] = Struck
    ) -> Struck:
        folder.mkdir()
        source, target = (
            self._warehouse(role) if kind == "warehouse" else kind
            for role, kind in zip(("source", "target"), pair, strict=True)
        )
        return of(folder, self._children, (source, target), dict(rules))

    def _warehouse(self, role: str) -> str:
        return warehouse_places.kind(self._databases.take(role), self._azurite.blob_endpoint)


@pytest.fixture
def builder(children: Children, databases: Databases, azurite: Azurite) -> Builder:
    return Builder(children, databases, azurite)


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("case", POINTS, ids=lambda case: f"{'-'.join(case[0])}-{case[1]}")
def test_every_point(tmp_path: Path, builder: Builder, case: tuple[Pair, str], share: int) -> None:
    pair, write = case

    def houses() -> Iterator[tuple[int, Struck]]:
        for kill in count(share + 1, SHARES):
            made = builder.build(tmp_path / str(kill), pair, WRITES[write])
            made.among = " destination" if pair == INTO else " source"
            yield kill, made

    play_points(houses(), f"{'-'.join(pair)}, {write}")


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("write", WRITES)
def test_every_statement(tmp_path: Path, builder: Builder, write: str, share: int) -> None:
    """What a Warehouse was told before stays; a transaction that was open does not."""

    def houses() -> Iterator[tuple[int, Struck]]:
        for kill in count(share + 1, SHARES):
            yield kill, builder.build(tmp_path / str(kill), INTO, WRITES[write], ByStatement)

    play_points(houses(), write)


@pytest.mark.parametrize("mode", CLOCKED)
def test_any_moment(tmp_path: Path, builder: Builder, mode: str) -> None:
    struck = builder.build(tmp_path / "house", ("warehouse", "warehouse"), CLOCKED[mode])
    play_moments(struck, random.Random(mode))

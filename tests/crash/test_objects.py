"""Real kills of runs that copy files as they are."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from copy_core.job import FILE_MODIFIED
from tests.crash.children import Children
from tests.crash.house import House
from tests.crash.places import TABLE
from tests.matrix.files import Place, fill, place
from tests.matrix.systems import System, own, stores
from tests.servers import Azurite, LocalStack

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(3600)

PAIRS = [
    ("local", "s3"),
    ("s3", "azure_blob"),
    ("azure_blob", "adls_gen2"),
    ("adls_gen2", "local"),
]
WATCHED = {"mode": "incremental", "incremental_column": FILE_MODIFIED, "write": "append"}
MODES: dict[str, dict[str, Any]] = {
    "incremental": WATCHED,
    "mirror": {"mode": "full", "write": "overwrite"},
    "move": {**WATCHED, "delete_source": True},
}
STRIDE = 67
TOUCHED = r" (source|destination)|after store\.(put|delete)"

FIRST = {f"{TABLE}/{name}": name.encode() * 50 for name in ("a", "b/c d", "b/e%20é", "z")}
FIRST |= {f"{TABLE}/empty": b"", f"{TABLE}/large": bytes(range(256)) * 40_000}
LATER = {f"{TABLE}/b/new": b"new", f"{TABLE}/z": b"another"}


class ObjectHouse(House):
    """A house whose job copies files from one place to another."""

    def __init__(
        self,
        folder: Path,
        children: Children,
        ends: tuple[System, System],
        settings: dict[str, Any],
    ) -> None:
        self._children, self._state = children, str(folder / "state.db")
        (self.origin, read), (self.goal, written) = (
            place(system, role, folder)
            for system, role in zip(ends, ("origin", "goal"), strict=True)
        )
        self._connections = {
            name: each.model_dump(mode="json") for name, each in (("from", read), ("to", written))
        }
        self.settings, self.batch_rows = {"parts": 2, **settings}, 2
        self.among = TOUCHED

    def finished(self) -> None:
        """Runs once more, which nothing happens to."""
        summary = self.run().summary
        assert summary is not None
        assert summary.status == "succeeded", summary.model_dump_json(indent=1)


def there(at: Place) -> dict[str, bytes]:
    """The files of the table."""
    keys = [key for key in list(at.keys()) if key.startswith(f"{TABLE}/")]
    return {key: at.get(key) for key in keys if "/_copyjob/" not in key}


@pytest.fixture(scope="session")
def systems(localstack: LocalStack, azurite: Azurite) -> dict[str, System]:
    found = [*own("binary"), *stores(localstack, azurite, "binary")]
    return {system.name: system for system in found}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_points(
    tmp_path: Path,
    children: Children,
    systems: dict[str, System],
    pair: tuple[str, str],
    mode: str,
    pytestconfig: pytest.Config,
) -> None:
    every = pytestconfig.getoption("--every-point")
    first = 3 + 5 * (PAIRS.index(pair) * len(MODES) + [*MODES].index(mode))
    for kill in count(1) if every else count(first, STRIDE):
        folder = tmp_path / str(kill)
        folder.mkdir()
        house = ObjectHouse(folder, children, (systems[pair[0]], systems[pair[1]]), MODES[mode])
        house.goal.put(f"{TABLE}/stale", b"stale")
        kept = {} if mode == "mirror" else {f"{TABLE}/stale": b"stale"}
        died = False
        for files in (FIRST, LATER):
            fill(house.origin, files)
            died |= house.run(kill).summary is None
            house.finished()
            kept |= files
            assert there(house.goal) == kept, f"killed at point {kill}"
            assert there(house.origin) == ({} if mode == "move" else FIRST | files)
        if not died:
            return

"""What is written down of a copy of objects before its commit, and needed until all is done.

Below `<folder>/_copyjob/staging/<key>/<sequence>/` lie the runs of `manifest`, a few for each part
and each attempt at it, and `plan-<plan>.json`, which tells which of them count. The commit itself
is the page of the ledger: it names the plan.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from copy_core.connectors.files.ledger import Ledger
from copy_core.connectors.files.manifest import Run, from_json, to_json
from copy_core.connectors.files.places import folder_of

if TYPE_CHECKING:
    from copy_core.connectors.files.store import Store
    from copy_core.model import Target


class Agreed(NamedTuple):
    """What was written down of a commit that was made.

    Attributes:
        plan_id: the plan.
        runs: what its parts have placed.
        done: whether what they have not placed was removed, or is to stay.
        since: when it was written down, by the store's clock.
    """

    plan_id: str
    runs: list[Run]
    done: bool
    since: int


class Agreement:
    """What is written down of one sequence.

    Args:
        store: the destination.
        target: where to, and the sequence.

    Attributes:
        folder: what the keys of all that is written down begin with.
    """

    def __init__(self, store: Store, target: Target) -> None:
        self._store, self._target = store, target
        self._ledger = ledger_of(store, target.object)
        waiting = self._ledger.staging(target.job, target.table, target.sequence)
        self.folder = folder_of(target.object) + waiting

    def write(self, plan_id: str, runs: list[Run], *, done: bool) -> None:
        """Writes down which runs count if a plan is committed."""
        text = json.dumps({"runs": to_json(runs), "done": done})
        self._store.put(self._key(plan_id), text.encode())

    def read(self) -> Agreed | None:
        """What was written down of the plan that was committed; None when there is no such plan,
        or all is done and cleaned up. An older commit than the last has nothing to remove.
        """
        page, _ = self._ledger.read(self._target.job, self._target.table)
        record = page.record(self._target.sequence)
        entry = self._store.stat(self._key(record.plan_id)) if record else None
        if record is None or entry is None:
            return None
        known = json.loads(self._store.read(entry, 0, entry.size))
        last = record == page.last
        return Agreed(
            plan_id=record.plan_id,
            runs=from_json(known["runs"]),
            done=known["done"] or not last,
            since=entry.modified,
        )

    def _key(self, plan_id: str) -> str:
        return f"{self.folder}plan-{plan_id}.json"


def ledger_of(store: Store, name: str) -> Ledger:
    """The ledger of the folder that a name stands for."""
    return Ledger(store, folder_of(name).removesuffix("/"))

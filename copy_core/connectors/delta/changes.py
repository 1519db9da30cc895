"""Which files hold the rows that some commits brought. Pure.

Commits that say `dataChange: false` (OPTIMIZE, and whatever else compacts) bring no rows, they move
rows from files to others. So the rows that are new in a window are read where they were added,
also when they were moved since: what they were moved to holds older rows as well.

A commit that removes files and adds others has written the rows anew that stayed as they were
(UPDATE, DELETE, MERGE, an overwrite). They cannot be told from new ones, and come again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from copy_core.errors import ConfigError
from copy_core.model import JsonDict


class Commit(NamedTuple):
    """A commit of the log: its version, and its actions as the protocol writes them."""

    version: int
    actions: list[JsonDict]


class Added(NamedTuple):
    """A file that holds rows that came in a window.

    Attributes:
        version: the commit that added it.
        add: its `add` action.
        moved: whether its rows were moved to other files since, so that VACUUM may remove it.
    """

    version: int
    add: JsonDict
    moved: bool = False


def changed(commits: Iterable[Commit], *, again: bool) -> list[Added]:
    """The files to read for the rows that commits brought, each once.

    Args:
        commits: without gaps, ascending.
        again: whether rows that were there before them may come again.

    Raises:
        ConfigError: they would, and must not (`rows-rewritten`, names the version); or rows were
            deleted by vectors (`table-feature`).
    """
    replay = _Replay(again)
    for commit in commits:
        replay.take(commit)
    return list(replay.result())


@dataclass(eq=False)
class _Pool:
    """Files that rows were moved to, and nobody knows which row to which.

    Attributes:
        outputs: those that are still part of the table.
        sources: where the new ones among the rows were added.
        pure: all the rows are new.
        lost: a file that rows were moved to is no longer part of the table.
    """

    outputs: dict[str, Added] = field(default_factory=dict)
    sources: list[Added] = field(default_factory=list)
    pure: bool = True
    lost: bool = False

    def absorb(self, other: _Pool) -> None:
        self.outputs |= other.outputs
        self.sources += other.sources
        self.pure &= other.pure
        self.lost |= other.lost

    def files(self, *, again: bool) -> Iterator[Added]:
        """Where to read the new rows: where they were added, unless some were removed or written
        anew since; then in what is left, as far as older rows may come with them.
        """
        if self.lost and (again or self.pure or not self.outputs):
            yield from self.outputs.values()
        else:
            yield from (source._replace(moved=True) for source in self.sources)


class _Replay:
    def __init__(self, again: bool) -> None:
        self._again = again
        self._fresh: dict[str, Added] = {}
        self._pools: dict[str, _Pool] = {}
        self._all: list[_Pool] = []

    def take(self, commit: Commit) -> None:
        adds = [action["add"] for action in commit.actions if action.get("add")]
        removes = [action["remove"] for action in commit.actions if action.get("remove")]
        if any(add.get("deletionVector") for add in adds):
            raise ConfigError(
                f"version {commit.version} deleted rows by deletionVectors, which are not read",
                fix="Load the table anew once it has none (REORG TABLE ... APPLY (PURGE))",
                code="table-feature",
            )
        if any(action.get("dataChange", True) for action in adds + removes):
            self._change(commit, adds, removes)
        else:
            self._move(commit.version, adds, removes)

    def result(self) -> Iterator[Added]:
        seen: set[str] = set()
        pooled = (file for pool in self._all for file in pool.files(again=self._again))
        for file in (*self._fresh.values(), *pooled):
            if file.add["path"] not in seen:
                seen.add(file.add["path"])
                yield file

    def _change(self, commit: Commit, adds: list[JsonDict], removes: list[JsonDict]) -> None:
        older = False
        for path in (remove["path"] for remove in removes):
            if self._fresh.pop(path, None) is not None:
                continue
            pool = self._pools.pop(path, None)
            if pool is not None:
                del pool.outputs[path]
                pool.lost = True
            older |= pool is None or not pool.pure
        operation = _operation(commit)
        if adds and (older or operation == "RESTORE") and not self._again:
            raise ConfigError(
                f"version {commit.version} of the table ({operation or 'a commit'}) wrote rows anew"
                " that were copied before, and appending would double them",
                fix="Set `write: upsert` and `keys`, or `mode: full`",
                code="rows-rewritten",
            )
        for add in adds:
            self._fresh[add["path"]] = Added(commit.version, add)

    def _move(self, version: int, adds: list[JsonDict], removes: list[JsonDict]) -> None:
        added, removed = ({each["path"]: each for each in actions} for actions in (adds, removes))
        same = added.keys() & removed.keys()
        for inputs, outputs in _groups(
            [add for path, add in added.items() if path not in same],
            [remove for path, remove in removed.items() if path not in same],
        ):
            pool = _Pool({add["path"]: Added(version, add) for add in outputs})
            for path in (remove["path"] for remove in inputs):
                if (file := self._fresh.pop(path, None)) is not None:
                    pool.sources.append(file)
                elif (other := self._pools.get(path)) is not None:
                    del other.outputs[path], self._pools[path]
                    if other is not pool:
                        self._all.remove(other)
                        pool.absorb(other)
                        self._pools |= dict.fromkeys(other.outputs, pool)
                else:
                    pool.pure = False
            if pool.sources:
                self._all.append(pool)
                self._pools |= dict.fromkeys(pool.outputs, pool)


def _groups(
    adds: list[JsonDict], removes: list[JsonDict]
) -> list[tuple[list[JsonDict], list[JsonDict]]]:
    """What was removed and what it was moved to, by partition: rows stay in theirs. All together
    where the log does not tell the partitions apart.
    """
    groups: dict[str, tuple[list[JsonDict], list[JsonDict]]] = {}
    for place, actions in enumerate((removes, adds)):
        for action in actions:
            key = json.dumps(action.get("partitionValues"), sort_keys=True)
            groups.setdefault(key, ([], []))[place].append(action)
    told = all(inputs and outputs for inputs, outputs in groups.values())
    return list(groups.values()) if told else [(removes, adds)]


def _operation(commit: Commit) -> str:
    """What the commit's writer called it, as Delta's history shows; "" when it did not say."""
    infos = [action["commitInfo"] for action in commit.actions if action.get("commitInfo")]
    return str(infos[0].get("operation", "")) if infos else ""

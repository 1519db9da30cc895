"""Patterns of paths: `*` within a level, `**` for any levels, `?`, `[abc]`; case counts. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

_SPECIAL = re.compile(r"[*?\[]")


def is_pattern(name: str) -> bool:
    """Whether a name has a character that stands for others."""
    return _SPECIAL.search(name) is not None


def fixed(pattern: str) -> str:
    """What every path that meets a pattern begins with."""
    special = _SPECIAL.search(pattern)
    return pattern[: special.start()] if special else pattern


def matcher(include: Sequence[str], exclude: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether a path meets one of some patterns, or there are none, and none of others.

    Args:
        include: patterns of whole paths. `**` as a level is any number of levels, none included,
            and at the end at least one; `[!abc]` is any other character.
        exclude: likewise.
    """
    wanted, unwanted = [_runs(p) for p in include], [_runs(p) for p in exclude]

    def meets(path: str) -> bool:
        names = path.split("/")
        if wanted and not any(_meets(names, runs) for runs in wanted):
            return False
        return not any(_meets(names, runs) for runs in unwanted)

    return meets


Run = list[Callable[[str], object]]
"""Levels that follow each other, each as what tells whether a name meets it."""


def _runs(pattern: str) -> list[Run]:
    """What stands between the `**` of a pattern."""
    levels = pattern.strip("/").split("/")
    if levels[-1] == "**":
        levels.append("*")
    runs: list[Run] = [[]]
    for level in levels:
        if level == "**":
            runs.append([])
        else:
            runs[-1].append(re.compile(translate(level)).match)
    return runs


def _meets(names: Sequence[str], runs: Sequence[Run]) -> bool:
    """Each run has a fixed length, so the first place where it fits leaves most to the others."""
    first, *middle, last = runs if len(runs) > 1 else [*runs, []]
    at, end = len(first), len(names) - len(last)
    if (at > end if len(runs) > 1 else at != end) or not _fits(names, 0, first):
        return False
    for run in middle:
        while at + len(run) <= end and not _fits(names, at, run):
            at += 1
        at += len(run)
    return at <= end and _fits(names, end, last)


def _fits(names: Sequence[str], at: int, run: Run) -> bool:
    return all(meets(names[at + n]) for n, meets in enumerate(run))

"""Which paths a pattern stands for."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.files.patterns import fixed, is_pattern, matcher


@pytest.mark.parametrize(
    ("pattern", "path", "meets"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("*.csv", "a.CSV", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "x/y/a.csv", True),
        ("x/**", "x/a", True),
        ("x/**", "x/y/a", True),
        ("x/**", "x", False),
        ("x/**", "xy/a", False),
        ("x/**/a", "x/a", True),
        ("x/**/a", "x/y/z/a", True),
        ("x/**/a", "x/ya", False),
        ("x/**/x", "x", False),
        ("**/a/**/a/**/b", "a/x/a/y/z/b", True),
        ("**/a/**/a/**/b", "x/a/y/z/b", False),
        ("a/**/b/c/**/d", "a/b/b/c/d", True),
        ("**", "x/y", True),
        ("a**b", "axxb", True),
        ("a**b", "ax/xb", False),
        ("?.txt", "ä.txt", True),
        ("?.txt", "/.txt", False),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("[!ab].txt", "c.txt", True),
        ("[a-c]x", "bx", True),
        ("[c-a]x", "bx", False),
        ("x[!a]y", "x/y", False),
        ("[]]x", "]x", True),
        ("[x", "[x", True),
        ("a.b+c", "a.b+c", True),
        ("a.b", "axb", False),
        ("/x/*", "x/a", True),
        ("line*", "line\nbreak", True),
        ("a%20 b*", "a%20 b+", True),
    ],
)
def test_a_pattern_stands_for_paths(pattern: str, path: str, meets: bool) -> None:
    assert matcher([pattern])(path) is meets


def test_without_patterns_every_path_counts_but_those_that_are_left_out() -> None:
    assert matcher([])("any/path")
    keeps = matcher(["**/*.csv", "*.txt"], ["old/**"])
    assert [keeps(p) for p in ("a.csv", "b.txt", "x/b.txt", "old/a.csv")] == [
        True,
        True,
        False,
        False,
    ]


_NAMES = st.text("abAB*?[]!-^\\.é", min_size=1, max_size=8)


@given(_NAMES.filter(lambda p: p != "**"), _NAMES)
def test_within_a_level_it_is_what_a_shell_does(pattern: str, name: str) -> None:
    assert matcher([pattern])(name) == fnmatchcase(name, pattern)


@given(st.lists(st.text("ab.*", min_size=1, max_size=4), min_size=1, max_size=4))
def test_what_a_pattern_is_fixed_to_begins_every_path(steps: list[str]) -> None:
    pattern = "/".join(steps)
    path = "/".join(step.replace("*", "b") for step in steps)
    assert path.startswith(fixed(pattern))
    assert is_pattern(pattern) == ("*" in pattern)


def test_a_pattern_with_many_stars_is_still_quick() -> None:
    assert not matcher(["*a*a*a*a*b"])("a" * 300)
    assert not matcher(["**/**/**/x"])("a/" * 60 + "y")

"""Columns in the names of folders: which, of what type, and with which value in each file."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.files.hive import NULL, columns, values
from copy_core.errors import ConfigError


def kinds(*texts: str, **types: str) -> pa.DataType:
    files = [(f"t/c={text}/1.csv", 1) for text in texts]
    return columns(files, types).field("c").type


def test_each_folder_below_the_name_is_a_column() -> None:
    key = "t/year=2026/eu/month=%3A 11+/x=/day=__HIVE_DEFAULT_PARTITION__/a=1.csv"
    found = {"year": "2026", "month": ": 11+", "x": "", "day": None}
    assert values(key, 1) == found
    assert values(key, 2) == {name: v for name, v in found.items() if name != "year"}
    assert list(values(key, 0)) == list(found)
    assert values("t/=1/1.csv", 1) == {}


@pytest.mark.parametrize("text", ["100%", "%", "%zz", "%FF", "a%FFb%41"])
def test_percent_signs_that_encode_nothing_stay(text: str) -> None:
    assert values(f"t/a={text}/1.csv", 1) == {"a": text}


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["0", "-7", "9223372036854775807", NULL], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["-9223372036854775808"], pa.int64()),
        (["7", "07"], pa.string()),
        (["-0"], pa.string()),
        (["٣"], pa.string()),
        (["1_000"], pa.string()),
        (["2026-02-28", "0001-01-01"], pa.date32()),
        (["2026-02-29"], pa.string()),
        (["2026-W01-1"], pa.string()),
        (["2026-02-28", "1"], pa.string()),
        ([NULL], pa.string()),
        ([""], pa.string()),
        (["eu"], pa.string()),
    ],
    ids=str,
)
def test_the_values_of_all_files_tell_the_type(texts: Sequence[str], kind: pa.DataType) -> None:
    assert kinds(*texts) == kind


def test_a_type_that_the_connection_gives_counts_more() -> None:
    assert kinds("7", c="string") == pa.string()
    assert kinds("7", c="decimal(4,1)") == pa.decimal128(4, 1)
    assert kinds("7", other="string") == pa.int64()


@pytest.mark.parametrize(
    "keys",
    [
        ["t/a=1/1.csv", "t/2.csv"],
        ["t/2.csv", "t/a=1/1.csv"],
        ["t/a=1/1.csv", "t/a=1/b=2/1.csv"],
        ["t/a=1/b=2/1.csv", "t/b=2/a=1/1.csv"],
        ["t/a=1/1.csv", "t/A=1/1.csv"],
    ],
    ids=str,
)
def test_files_in_folders_of_other_columns_are_refused(keys: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        columns([(key, 1) for key in keys], {})
    assert raised.value.code == "partition-mixed"
    assert raised.value.where == {"file": keys[1]}


def test_a_column_that_is_in_two_folders_is_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        values("t/a=1/a=2/1.csv", 1)
    assert raised.value.code == "partition-twice"


def test_no_folder_is_no_column() -> None:
    assert columns([("t/1.csv", 1), ("t/deep/2.csv", 1)], {}).names == []
    assert columns([], {}).names == []


def spelt(text: str) -> str:
    """As Spark spells a value in the name of a folder."""
    special = set("\"#%'*/:=?\\{[]^") | set(map(chr, [*range(1, 32), 127]))
    return "".join(f"%{ord(c):02X}" if c in special else c for c in text)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_what_spark_writes_comes_back(folders: dict[str, str]) -> None:
    key = "/".join([*(f"{spelt(k)}={spelt(v)}" for k, v in folders.items()), "1.csv"])
    assert values(key, 0) == {k: None if v == NULL else v for k, v in folders.items()}

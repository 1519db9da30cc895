"""Jobs: what a table inherits, and that a definition survives its own JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from copy_core.job import Column, Constant, Job, JobFile, Settings, TableCopy, resolve


def job(tables: list[dict[str, Any]] | None = None, **settings: Any) -> Job:
    ends = {"name": "shop", "source": "shop", "destination": "lake"}
    return resolve(
        JobFile.model_validate(ends | {"tables": tables or [{"source": "t"}]} | settings)
    )


def table(own: dict[str, Any] | None = None, **inherited: Any) -> TableCopy:
    return job([{"source": "t"} | (own or {})], **inherited).tables[0]


def test_every_setting_has_a_default() -> None:
    assert table() == TableCopy(
        source="t",
        destination="t",
        mode="full",
        write="append",
        incremental_column=None,
        keys=(),
        columns=None,
        filter=(),
        drift="evolve",
        nulls="skip",
        lookback=None,
        delay=None,
        parts=None,
        audit={},
    )


VALUES: dict[str, tuple[Any, Any]] = {
    "mode": ("incremental", "full"),
    "write": ("upsert", "overwrite"),
    "incremental_column": ("a", "b"),
    "keys": (["a"], ["b"]),
    "drift": ("fail", "ignore"),
    "nulls": ("include", "fail"),
    "lookback": ("1h", "2h"),
    "delay": ("1h", "2h"),
    "parts": (1, 2),
    "audit": ({"a": "job"}, {"b": {"value": "x"}}),
    "partition_by": (["a"], ["b"]),
    "include": (["*.csv"], ["**"]),
    "exclude": (["*.csv"], ["**"]),
    "hierarchy": ("flatten", "preserve"),
    "delete_source": (True, False),
}


def test_every_setting_is_tried() -> None:
    assert set(VALUES) == set(Settings.model_fields)


@pytest.mark.parametrize("setting", VALUES)
def test_a_table_inherits_what_it_does_not_say(setting: str) -> None:
    of_job, own = VALUES[setting]
    others: dict[str, Any] = {"mode": "incremental"} if setting != "mode" else {}
    inherited = getattr(table(**{setting: of_job}, **others), setting)
    assert inherited == getattr(table({setting: of_job} | others), setting)
    said = getattr(table({setting: own} | others, **{setting: of_job}), setting)
    assert said == getattr(table({setting: own} | others), setting)
    assert said != inherited


@pytest.mark.parametrize("setting", ["incremental_column", "nulls", "lookback", "delay"])
def test_a_table_copied_in_full_does_not_inherit_what_increments_need(setting: str) -> None:
    of_job, own = VALUES[setting]
    assert getattr(table(**{setting: of_job}), setting) == getattr(table(), setting)
    assert getattr(table({setting: own}), setting) != getattr(table(), setting)


def test_empty_and_nought_at_a_table_undo_what_the_job_says() -> None:
    undone = table(
        {"keys": [], "audit": {}, "lookback": 0, "mode": "incremental"},
        keys=["id"],
        audit={"at": "extracted_at"},
        lookback="1h",
    )
    assert (undone.keys, undone.audit, undone.lookback) == ((), {}, 0)


def test_a_source_may_have_an_incremental_column_of_its_own() -> None:
    file = JobFile.model_validate(
        {
            "name": "nightly",
            "source": "shop",
            "destination": "lake",
            "mode": "incremental",
            "tables": [
                {"source": "a"},
                {"source": "b", "incremental_column": "at"},
                {"source": "c", "mode": "full"},
            ],
        }
    )
    columns = [table.incremental_column for table in resolve(file, "changed").tables]
    assert columns == ["changed", "at", None]
    assert resolve(file).tables[0].incremental_column is None


def test_columns_are_written_as_names_or_in_full() -> None:
    written = ["id", {"name": "total", "rename": "amount", "cast": "decimal(18,2)"}]
    assert table({"columns": written}).columns == (
        Column(name="id"),
        Column(name="total", rename="amount", cast="decimal(18,2)"),
    )


def test_choosing_no_column_is_not_choosing_all() -> None:
    assert table({"columns": []}).columns == ()


def test_audit_columns_are_named_values_or_constants() -> None:
    audit = table({"audit": {"at": "extracted_at", "site": {"value": "north"}}}).audit
    assert audit == {"at": "extracted_at", "site": Constant(value="north")}


@pytest.mark.parametrize(
    ("written", "kept"),
    [("15m", timedelta(minutes=15)), ("1d 12h", timedelta(hours=36)), ("7", 7), (7, 7), (0, 0)],
)
def test_spans(written: Any, kept: Any) -> None:
    assert table({"mode": "incremental", "lookback": written}).lookback == kept


@pytest.mark.parametrize("wrong", [True, 1.5, "soon", "", [], {}, -1, "99999999999w"])
def test_what_is_no_span_is_a_validation_error(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        table({"lookback": wrong})


@given(
    own=st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["full", "incremental"]),
            "lookback": st.integers(0, 10**9)
            | st.timedeltas(timedelta(0)).map(
                lambda span: timedelta(seconds=span // timedelta(seconds=1))
            ),
            "delay": st.sampled_from([0, "0s", "1w 2d", "90s"]),
            "keys": st.lists(st.text(min_size=1, max_size=9)),
            "columns": st.lists(st.text(min_size=1, max_size=9)),
            "audit": st.dictionaries(
                st.text(min_size=1, max_size=9),
                st.sampled_from(["job", {"value": ""}, {"value": "job"}]),
            ),
            "filter": st.lists(
                st.fixed_dictionaries(
                    {"column": st.just("c")},
                    optional={
                        "value": st.none()
                        | st.booleans()
                        | st.integers()
                        | st.floats(allow_nan=False, allow_infinity=False)
                        | st.text()
                        | st.lists(st.booleans() | st.integers() | st.text())
                    },
                )
            ),
        },
    )
)
def test_a_job_survives_its_own_json(own: dict[str, Any]) -> None:
    before = job([{"source": "t"} | own])
    after = Job.model_validate_json(before.model_dump_json())
    assert after == before
    assert repr(after) == repr(before)


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "0", "x" * 100])
def test_good_job_names(name: str) -> None:
    assert job(name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a\n", "x" * 101])
def test_bad_job_names(name: str) -> None:
    with pytest.raises(ValidationError):
        job(name=name)


def test_a_definition_never_changes() -> None:
    with pytest.raises(ValidationError):
        setattr(table(), "mode", "full")  # noqa: B010 - mypy would refuse the assignment

"""Types: one table of them, names that read back, casts that lose nothing, drift by its policy."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError
from copy_core.job import Drift
from copy_core.schema import (
    canonical_schema,
    canonical_type,
    parse_type,
    reconcile,
    schema_from_json,
    schema_to_json,
    type_name,
    widens,
)

PLAIN = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.binary(),
    pa.bool_(),
    pa.date32(),
    pa.time64("us"),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
]
decimals = st.integers(1, 38).flatmap(
    lambda precision: st.integers(0, precision).map(lambda scale: pa.decimal128(precision, scale))
)
canonical = st.sampled_from(PLAIN) | decimals
columns = st.dictionaries(
    st.text(min_size=1, max_size=5), st.tuples(canonical, st.booleans()), max_size=6
)


def schema(of: dict[str, tuple[Any, bool]]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable) for name, (kind, nullable) in of.items()])


schemas = columns.map(schema)


# Names


@given(kind=canonical)
def test_a_types_name_gives_the_type_back(kind: pa.DataType) -> None:
    assert parse_type(type_name(kind)) == kind
    assert canonical_type(kind) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int", pa.int64()),
        (" BIGINT ", pa.int64()),
        ("smallint", pa.int16()),
        ("double", pa.float64()),
        ("real", pa.float32()),
        ("boolean", pa.bool_()),
        ("varchar", pa.string()),
        ("datetime", pa.timestamp("us")),
        ("timestamptz", pa.timestamp("us", "UTC")),
        ("decimal(18,2)", pa.decimal128(18, 2)),
        ("Decimal ( 18 , 2 )", pa.decimal128(18, 2)),
        ("decimal(5)", pa.decimal128(5, 0)),
        ("decimal(38,38)", pa.decimal128(38, 38)),
    ],
)
def test_names_as_people_write_them(name: str, kind: pa.DataType) -> None:
    assert parse_type(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "",
        "number",
        "int128",
        "decimal",
        "decimal(0)",
        "decimal(39,0)",
        "decimal(5,6)",
        "decimal(5,)",
    ],
)
def test_an_unknown_type_is_a_config_error_that_names_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no type") as caught:
        parse_type(name)
    assert caught.value.code == "unknown-type"
    assert "int64" in caught.value.fix
    assert "decimal(precision,scale)" in caught.value.fix


@given(name=st.text() | st.from_regex(r"\Adecimal\([0-9]{1,5},[0-9]{1,5}\)\Z"))
def test_any_name_is_a_type_or_a_config_error(name: str) -> None:
    try:
        kind = parse_type(name)
    except ConfigError:
        return
    assert parse_type(type_name(kind)) == kind


# What stands for other types


@pytest.mark.parametrize(
    ("kind", "stands"),
    [
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.null(), pa.string()),
        (pa.large_binary(), pa.binary()),
        (pa.binary_view(), pa.binary()),
        (pa.binary(16), pa.binary()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("s", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.date64(), pa.date32()),
        (pa.time32("s"), pa.time64("us")),
        (pa.time64("ns"), pa.time64("us")),
        (pa.float16(), pa.float32()),
        (pa.decimal32(9, 2), pa.decimal128(9, 2)),
        (pa.decimal64(18, 2), pa.decimal128(18, 2)),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
    ],
)
def test_what_stands_for_a_type_holds_its_values(kind: pa.DataType, stands: pa.DataType) -> None:
    assert canonical_type(kind) == stands
    assert pa.nulls(3, kind).cast(stands).null_count == 3


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int8()),
        pa.struct([("a", pa.int8())]),
        pa.map_(pa.string(), pa.int8()),
        pa.duration("us"),
        pa.month_day_nano_interval(),
        pa.decimal256(50, 2),
        pa.decimal256(10, 2),
        pa.decimal128(5, -2),
        pa.decimal32(5, -2),
    ],
)
def test_a_type_that_nothing_stands_for_names_its_column(kind: pa.DataType) -> None:
    with pytest.raises(ConfigError, match="cannot be copied") as caught:
        canonical_schema(pa.schema([("fine", pa.int8()), ("odd", kind)]))
    assert caught.value.where == {"column": "odd"}


def test_a_canonical_schema_keeps_names_order_and_nullability_only() -> None:
    given_schema = pa.schema(
        [
            pa.field("b", pa.large_string(), nullable=False, metadata={"a": "b"}),
            pa.field("a", pa.timestamp("ms")),
        ],
        metadata={"c": "d"},
    )
    expected = schema({"b": (pa.string(), False), "a": (pa.timestamp("us"), True)})
    assert canonical_schema(given_schema).equals(expected, check_metadata=True)


@given(before=schemas)
def test_a_schema_survives_its_json(before: pa.Schema) -> None:
    assert schema_from_json(schema_to_json(before)).equals(before)


# Widening

WHOLE = [0, 1, -1, 2**7, 2**15, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]
BROKEN = [0.1, 1e38, 3.4e38, 1e300, float("inf")]


@given(old=canonical, new=canonical)
def test_a_type_that_widens_holds_every_extreme(old: pa.DataType, new: pa.DataType) -> None:
    if not widens(old, new) or pa.types.is_decimal(new):
        return
    for value in [*WHOLE, *BROKEN]:
        try:
            scalar = pa.array([value], new)
        except (pa.ArrowException, OverflowError, TypeError):
            continue
        assert scalar.cast(old).cast(new) == scalar


@example(old=pa.decimal128(38, 15), new=pa.decimal128(37, 0))
@given(old=decimals, new=decimals)
def test_a_decimal_that_widens_holds_the_largest_value(old: pa.DataType, new: pa.DataType) -> None:
    largest = pa.array(["9" * (new.precision - new.scale) + "." + "9" * new.scale])
    largest = exact_cast(largest, new)
    if widens(old, new):
        assert exact_cast(exact_cast(largest, old), new) == largest
    else:
        with pytest.raises(pa.ArrowInvalid):
            exact_cast(largest, old)


@given(kind=canonical)
def test_a_type_holds_itself(kind: pa.DataType) -> None:
    assert widens(kind, kind)


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        (pa.int64(), pa.int32(), True),
        (pa.int32(), pa.int64(), False),
        (pa.int16(), pa.uint8(), True),
        (pa.int8(), pa.uint8(), False),
        (pa.uint8(), pa.int8(), False),
        (pa.float64(), pa.int32(), True),
        (pa.float64(), pa.int64(), False),
        (pa.float32(), pa.int16(), True),
        (pa.decimal128(19, 0), pa.int64(), True),
        (pa.decimal128(18, 0), pa.int64(), False),
        (pa.decimal128(20, 0), pa.uint64(), True),
        (pa.decimal128(3, 0), pa.int8(), True),
        (pa.string(), pa.int8(), False),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), False),
        (pa.int64(), pa.bool_(), False),
    ],
)
def test_what_widens(old: pa.DataType, new: pa.DataType, fits: bool) -> None:
    assert widens(old, new) == fits


# Drift


def test_a_new_column_is_added_left_out_or_refused() -> None:
    old = schema({"b": (pa.int64(), True), "a": (pa.string(), True)})
    new = schema({"a": (pa.string(), True), "n": (pa.int8(), False), "b": (pa.int32(), False)})
    kept = [pa.field("b", pa.int64(), nullable=False), pa.field("a", pa.string())]
    added = pa.field("n", pa.int8())
    assert reconcile(old, new, "evolve") == (pa.schema([*kept, added]), [added])
    assert reconcile(old, new, "ignore") == (pa.schema(kept), [])
    with pytest.raises(ConfigError, match="the source has a column") as caught:
        reconcile(old, new, "fail")
    assert (caught.value.code, caught.value.where) == ("schema-drift", {"column": "n"})


@pytest.mark.parametrize("drift", ["evolve", "ignore", "fail"])
def test_a_column_that_only_the_table_has_is_filled_with_nulls(drift: Drift) -> None:
    old = schema({"a": (pa.int8(), True), "b": (pa.int8(), True)})
    new = schema({"b": (pa.int8(), True)})
    assert reconcile(old, new, drift) == (new, [])
    required = schema({"a": (pa.int8(), False), "b": (pa.int8(), True)})
    with pytest.raises(ConfigError, match="requires a column") as caught:
        reconcile(required, new, drift)
    assert caught.value.where == {"column": "a"}


@pytest.mark.parametrize("drift", ["evolve", "ignore", "fail"])
def test_a_type_that_does_not_fit_is_refused(drift: Drift) -> None:
    old, new = schema({"a": (pa.int8(), True)}), schema({"a": (pa.int64(), True)})
    with pytest.raises(ConfigError, match="int8 cannot hold int64") as caught:
        reconcile(old, new, drift)
    assert caught.value.where == {"column": "a"}


@given(old=schemas, new=schemas, drift=st.sampled_from(["evolve", "ignore", "fail"]))
def test_rows_that_are_reconciled_fit_the_table(
    old: pa.Schema, new: pa.Schema, drift: Drift
) -> None:
    try:
        wanted, added = reconcile(old, new, drift)
    except ConfigError as e:
        assert e.where["column"]  # noqa: PT017 - both ends are right, anything else is not
        return
    assert all(field.nullable for field in added)
    table = pa.schema([*old, *added])
    assert [table.field(f.name).type for f in wanted] == [f.type for f in wanted]
    assert all(widens(f.type, new.field(f.name).type) for f in wanted)
    assert set(wanted.names) == set(new.names) - (set(new.names) - set(table.names))
    again = reconcile(table, wanted, "fail")
    assert again == (wanted, [])

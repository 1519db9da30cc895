"""A cast to a decimal gives the same number, or refuses: Python's decimals say which."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copy_core.connectors.sql.sqlite_values import decoder
from copy_core.decimals import decimal_of, exact_cast, wide_type
from copy_core.errors import TerminalError
from copy_core.job import Column
from copy_core.mapping import map_batch

WIDE = Context(prec=80, traps=[InvalidOperation])
INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]

kinds = st.integers(1, 38).flatmap(
    lambda precision: st.integers(0, precision).map(lambda scale: pa.decimal128(precision, scale))
)
digits = st.text("0123456789", max_size=45) | st.sampled_from(
    ["0" * 90, "9" * 38, "9" * 77, "1" + "0" * 60, str(2**128), str(2**128 + 1), str(2**256 + 1)]
)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Text of a number, and now and then of none."""
    sign = draw(st.sampled_from(["", "-", "+"]))
    point = draw(st.sampled_from(["", "."]))
    exponent = draw(
        st.just("")
        | st.builds(
            lambda e, s, n: f"{e}{s}{n}",
            st.sampled_from("eE"),
            st.sampled_from(["", "+", "-"]),
            st.integers(0, 45) | st.integers(0, 400) | st.integers(0, 10**12),
        )
    )
    return sign + draw(digits) + point + draw(digits if point else st.just("")) + exponent


def of_kind(kind: pa.DataType) -> st.SearchStrategy[Decimal]:
    """Values of any size that the type holds."""
    return st.builds(
        lambda size, whole: Decimal(whole % 10**size * (1 if whole > 0 else -1)).scaleb(
            -kind.scale, context=WIDE
        ),
        st.integers(0, kind.precision),
        st.integers(-(10**38), 10**38),
    )


def fitting(number: Decimal, kind: pa.DataType) -> bool:
    """Whether a decimal type holds exactly this number."""
    context = Context(prec=1000, Emax=10**15, Emin=-(10**15), traps=[])
    if number and not -100 < number.adjusted() < 100:
        return False
    scaled = number.scaleb(kind.scale, context=context)
    whole = scaled.to_integral_value(context=context)
    return scaled == whole and scaled.copy_abs() < 10**kind.precision


def check(values: pa.Array, numbers: list[Decimal], kind: pa.DataType) -> None:
    """All at once where all fit; each alone is right or refused."""
    fit = [fitting(number, kind) for number in numbers]
    for place, number in enumerate(numbers):
        alone = values.slice(place, 1)
        if fit[place]:
            assert exact_cast(alone, kind).to_pylist() == [number]
        else:
            with pytest.raises(pa.ArrowInvalid):
                exact_cast(alone, kind)
    if all(fit):
        found = exact_cast(values, kind)
        assert found.type == kind
        assert found.to_pylist() == numbers
        found.validate(full=True)
    else:
        with pytest.raises(pa.ArrowInvalid):
            exact_cast(values, kind)


@given(data=st.data(), old=kinds, new=kinds)
def test_decimals(data: st.DataObject, old: pa.DataType, new: pa.DataType) -> None:
    values = data.draw(st.lists(of_kind(old), min_size=1, max_size=4))
    check(pa.array(values, old), values, new)
    wide = wide_type(new)
    values = data.draw(st.lists(of_kind(new), max_size=4))
    check(pa.array(values, wide), values, new)


@given(data=st.data(), old=st.integers(1, 76), scale=st.integers(-5, 76), new=kinds)
def test_decimals_of_256_bits(data: st.DataObject, old: int, scale: int, new: pa.DataType) -> None:
    kind = pa.decimal256(old, min(scale, old))
    value = Decimal(data.draw(st.integers(-(10**old) + 1, 10**old - 1)))
    value = value.scaleb(-kind.scale, context=WIDE)
    check(pa.array([value], kind), [value], new)


@given(number=st.integers(-999, 999), kind=kinds)
def test_decimals_of_few_bits(number: int, kind: pa.DataType) -> None:
    for few in (pa.decimal32(9, 2), pa.decimal64(18, 2)):
        value = Decimal(number).scaleb(-2)
        check(pa.array([value], few), [value], kind)


@given(data=st.data(), old=st.sampled_from(INTEGERS), new=kinds)
def test_integers(data: st.DataObject, old: pa.DataType, new: pa.DataType) -> None:
    signed = pa.types.is_signed_integer(old)
    ends = (-(2 ** (old.bit_width - 1)), 2 ** (old.bit_width - 1) - 1)
    low, high = ends if signed else (0, 2**old.bit_width - 1)
    some = st.integers(low, high) | st.sampled_from([low, high, 0])
    values = data.draw(st.lists(some, min_size=1, max_size=4))
    check(pa.array(values, old), [Decimal(value) for value in values], new)


@example(texts=["50023584009879124083291.6319"], kind=pa.decimal128(37, 22))
@example(texts=["1e-100", "1"], kind=pa.decimal128(38, 0))
@example(texts=["0." + "0" * 80 + "1"], kind=pa.decimal128(37, 22))
@example(texts=[str(2**128 + 1)], kind=pa.decimal128(38, 0))
@example(texts=["0" * 80 + "1.5", "0E-38", "1E+3", "1e-5"], kind=pa.decimal128(38, 10))
@given(texts=st.lists(numbers(), min_size=1, max_size=4), kind=kinds)
def test_text(texts: list[str], kind: pa.DataType) -> None:
    parsed = []
    for text in texts:
        try:
            parsed.append(Decimal(text))
        except InvalidOperation:  # No number, or an exponent beyond all others.
            with pytest.raises(pa.ArrowInvalid):
                exact_cast(pa.array([text]), kind)
            with pytest.raises(pa.ArrowInvalid):
                decimal_of(text, kind)
            return
    check(pa.array(texts), parsed, kind)
    for text, number in zip(texts, parsed, strict=True):
        if fitting(number, kind):
            assert decimal_of(text, kind) == number
            assert decimal_of(text, kind).as_tuple().exponent == -kind.scale
        else:
            with pytest.raises(pa.ArrowInvalid):
                decimal_of(text, kind)


@given(kind=kinds, number=st.decimals(-9, 9, places=0))
def test_text_as_arrow_writes_it_comes_back(kind: pa.DataType, number: Decimal) -> None:
    value = number.scaleb(-kind.scale)
    written = pa.array([value, None], kind)
    assert exact_cast(written.cast(pa.string()), kind) == written


@pytest.mark.parametrize(
    "text",
    ["", " ", " 1", "1 ", "1_0", "nan", "inf", "-Infinity", "\uff11", "e5", "1e", ".", "0x1"],
)
@pytest.mark.parametrize("neighbour", ["1", "1e-5", "1e5", "0" * 80])
def test_what_is_no_number_to_arrow_is_none(text: str, neighbour: str) -> None:
    for kind in (pa.decimal128(9, 2), pa.decimal128(38, 38)):
        with pytest.raises(pa.ArrowInvalid):
            exact_cast(pa.array([neighbour, text]), kind)
        with pytest.raises(pa.ArrowInvalid):
            decimal_of(text, kind)


def test_nulls_slices_chunks_and_other_kinds_of_text() -> None:
    kind = pa.decimal128(38, 22)
    texts = ["oops", None, "1.5", "0e5", None, "0" * 70 + "2", "1e-3", "1e20"]
    numbers = [None, Decimal("1.5"), Decimal(0), None, Decimal(2), Decimal("0.001")]
    for of in (pa.string(), pa.large_string(), pa.string_view()):
        values: Any = pa.array(texts, of)
        assert exact_cast(values.slice(1, 6), kind).to_pylist() == numbers
        assert exact_cast(values.slice(1, 3), kind).to_pylist() == numbers[:3]
        assert exact_cast(values.slice(1, 1), kind).to_pylist() == [None]
        assert exact_cast(values.slice(0, 0), kind).to_pylist() == []
        chunked = pa.chunked_array([values.slice(1, 3), values.slice(4, 3)])
        assert exact_cast(chunked, kind).to_pylist() == numbers
        assert exact_cast(pa.chunked_array([], of), kind).type == kind
    coded = pa.array(texts[1:7]).dictionary_encode()
    assert exact_cast(coded, kind).to_pylist() == numbers
    assert exact_cast(pa.nulls(2), kind).to_pylist() == [None, None]
    assert exact_cast(pa.array([1.5]), kind).to_pylist() == [Decimal("1.5")]
    assert exact_cast(pa.array(["7"]), pa.int8()).to_pylist() == [7]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([Decimal(10**37 - 1)], pa.decimal128(37, 0)), pa.decimal128(38, 15)),
        (pa.array(["50023584009879124083291.6319"]), pa.decimal128(37, 22)),
        (pa.array([2**63 - 1]), pa.decimal128(38, 30)),
    ],
)
def test_a_copy_refuses_what_would_wrap_around(values: pa.Array, kind: pa.DataType) -> None:
    batch = pa.record_batch({"d": values})
    with pytest.raises(TerminalError) as raised:
        map_batch(batch, (Column(name="d"),), {}, pa.schema([("d", kind)]))
    assert (raised.value.code, raised.value.where) == ("value-does-not-fit", {"column": "d"})


def test_sqlite_refuses_text_that_would_wrap_around() -> None:
    decode = decoder(pa.field("d", pa.decimal128(37, 22)))
    assert decode(pa.array(["-1.5", None])).to_pylist() == [Decimal("-1.5"), None]
    with pytest.raises(TerminalError) as raised:
        decode(pa.array(["50023584009879124083291.6319"]))
    assert (raised.value.code, raised.value.where) == ("value-type", {"column": "d"})

"""Casts to decimals that are exact, or refused. Pure.

Arrow parses and scales in the width of the result. What needs more on the way wraps around without
an error, and digits far below the last place read past the end of a table. So what might is cast in
256 bits here, where it cannot, and the few texts that are too much even for these are left to
Python.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    Values = TypeVar("Values", pa.Array, pa.ChunkedArray)

# How many digits fit for sure: in 128 bits, in 256.
_DIGITS, _WIDE = 38, 76
# Any integer of 64 bits.
_INTEGER = 20
# The length of digits alone says little where there is an exponent. Text of this form never takes
# more than 76 digits on its way to a scale of 0 to 38, and never drops more. Arrow itself writes
# zero as 0E-38.
_SHORT = r"^[+-]?0*[0-9]{0,38}(\.[0-9]{0,38})?([eE]-([0-2]?[0-9]|3[0-8]))?$"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_EXACT = Context(prec=_DIGITS, traps=[InvalidOperation, Inexact])


def exact_cast(values: Values, kind: pa.DataType) -> Values:
    """Arrow's safe cast; to a decimal, from decimals, integers and text, it is exact.

    Raises:
        ArrowInvalid: a value does not fit the type, or loses a digit in it.
    """
    import pyarrow as pa

    if not pa.types.is_decimal128(kind) or values.type == kind:
        return values.cast(kind)
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([exact_cast(chunk, kind) for chunk in values.chunks], kind)
    t, of = pa.types, values.type
    if t.is_dictionary(of):
        return exact_cast(values.dictionary_decode(), kind)
    if t.is_decimal(of):
        return _from_decimals(values, kind)
    if t.is_integer(of):
        return _from_integers(values, kind)
    if t.is_string(of) or t.is_large_string(of) or t.is_string_view(of):
        return _from_text(values.cast(pa.string()), kind)
    return values.cast(kind)


def wide_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a reader takes numbers that `exact_cast` then turns into `kind`. Readers
    refuse more digits than it has before they scale, so that nothing wraps around there.
    """
    import pyarrow as pa

    return pa.decimal256(_WIDE - kind.scale, kind.scale)


def decimal_of(text: str, kind: pa.DataType) -> Decimal:
    """The number that text stands for, with the digits of `kind` after its point.

    Raises:
        ArrowInvalid: it is no number, or does not fit the type exactly.
    """
    import pyarrow as pa

    if not _NUMBER.fullmatch(text):
        raise pa.ArrowInvalid(f"'{_shown(text)}' is no number")
    place = Decimal((0, (1,), -kind.scale))
    try:
        exact = _EXACT.create_decimal(text).quantize(place, context=_EXACT)
    except DecimalException as e:
        raise pa.ArrowInvalid(f"{_shown(text)} does not fit {kind}") from e
    if exact and exact.adjusted() >= kind.precision - kind.scale:
        raise pa.ArrowInvalid(f"{_shown(text)} does not fit {kind}")
    return exact


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."


def _from_decimals(values: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    of = values.type
    if of.bit_width < kind.bit_width:
        of = pa.decimal128(of.precision, of.scale)
        values = values.cast(of)
    digits = of.precision - of.scale + kind.scale
    if digits <= _DIGITS and of.precision <= _DIGITS:
        return values.cast(kind)
    if digits > _WIDE:  # More before the point than the type can have.
        values = values.cast(pa.decimal256(min(_DIGITS + of.scale, _WIDE), of.scale))
    return values.cast(pa.decimal256(_WIDE, kind.scale)).cast(kind)


def _from_integers(values: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    # Arrow refuses a precision below that of the whole integer type, whatever the values.
    if kind.precision - kind.scale >= _INTEGER:
        return values.cast(kind)
    if kind.scale <= _DIGITS - _INTEGER:
        return values.cast(pa.decimal128(_DIGITS, kind.scale)).cast(kind)
    return values.cast(pa.decimal256(_WIDE, kind.scale)).cast(kind)


def _from_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = (pc.max(pc.binary_length(texts)).as_py() or 0) + kind.scale
    if digits <= _WIDE and not _exponents(texts):
        if digits <= _DIGITS:
            return texts.cast(kind)
        return texts.cast(pa.decimal256(_WIDE, kind.scale)).cast(kind)
    short = pc.match_substring_regex(texts, _SHORT)
    cast = pc.if_else(short, texts, None).cast(pa.decimal256(_WIDE, kind.scale)).cast(kind)
    if pc.all(short).as_py() is not False:
        return cast
    rest = [decimal_of(text, kind) for text in texts.filter(pc.invert(short)).to_pylist()]
    odd = pc.fill_null(pc.invert(short), False)
    return pc.replace_with_mask(cast, odd, pa.array(rest, kind))


def _exponents(texts: pa.StringArray) -> bool:
    """Whether any text may have one. Arrow would look at each; all of them lie in one buffer."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return False
    ends = memoryview(offsets).cast("i")
    start, end = ends[texts.offset], ends[texts.offset + len(texts)]
    text = data.slice(start, end - start).to_pybytes()
    return b"e" in text or b"E" in text

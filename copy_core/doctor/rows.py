"""The rows that `copyjob doctor --write` sends, held against those that come back. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copy_core.decimals import exact_cast
from copy_core.errors import TerminalError
from copy_core.schema import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from copy_core.job import WriteMode

KEY = "id"
"""The column that tells rows apart."""

_ORDINARY = datetime(2026, 3, 29, 2, 30, 0, 1)  # noqa: DTZ001 - without a zone
_EXTREME = datetime(9999, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - without a zone

# Of each canonical type a value as many have it, and one at an edge. Of uint64 it is the edge of
# what the systems without unsigned integers take as well.
_SAMPLES: dict[str, tuple[Any, Any]] = {
    "bool": (True, False),
    **{f"int{n}": (7, -(2 ** (n - 1))) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (7, 2**n - 1) for n in (8, 16, 32)},
    "uint64": (7, 2**63 - 1),
    "float32": (-1.5, 3.4028234663852886e38),
    "float64": (0.1, 1.7976931348623157e308),
    "decimal(18,4)": (Decimal("1.5000"), Decimal("-12345678901234.5678")),
    "decimal(38,10)": (Decimal("-0.0000000001"), Decimal("9" * 28 + "." + "9" * 10)),
    "string": ("Zoë 表 😀", 'it\'s "quoted", and\nbroken; null\\N'),
    "binary": (b"\x00\xff\xfe", b""),
    "date": (date(2026, 3, 29), date(1, 1, 1)),
    "time": (time(12, 34, 56, 123_457), time(23, 59, 59, 999_999)),
    "timestamp": (_ORDINARY, _EXTREME),
    "timestamp_utc": (_ORDINARY.replace(tzinfo=UTC), _EXTREME.replace(tzinfo=UTC)),
}


def column_types() -> dict[str, str]:
    """The columns of the rows and the names of their types: one of each, named after its type."""
    return {KEY: "int64"} | {_named(kind): kind for kind in _SAMPLES}


def of(ids: Iterable[int], turn: int = 0) -> pa.Table:
    """Rows with a column of each canonical type; an ordinary value, one at an edge and none take
    turns.

    Args:
        ids: their keys.
        turn: another number gives the same keys other values, of three.
    """
    import pyarrow as pa

    keys = list(ids)
    fields = [pa.field(KEY, pa.int64(), nullable=False)]
    arrays = [pa.array(keys, pa.int64())]
    for kind, samples in _SAMPLES.items():
        values = (*samples, None)
        fields.append(pa.field(_named(kind), parse_type(kind)))
        arrays.append(pa.array([values[(key + turn) % 3] for key in keys], fields[-1].type))
    return pa.table(arrays, schema=pa.schema(fields))


def after(write: WriteMode, before: pa.Table, arriving: pa.Table) -> pa.Table:
    """What a table holds once rows have arrived in it, in the order of its keys.

    Args:
        write: the write mode.
        before: what it held.
        arriving: the rows, of the same columns.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if write == "overwrite":
        before = before.slice(0, 0)
    if write == "upsert":
        before = before.filter(pc.invert(pc.is_in(before[KEY], arriving[KEY])))
    return pa.concat_tables([before, arriving]).sort_by(KEY)


def compare(sent: pa.Table, found: pa.Table) -> None:
    """Makes sure that a table holds these rows, each once, every value as it was sent.

    Args:
        sent: the rows that should be there, in the order of their keys.
        found: the rows that were read, in the types in which the system keeps them.

    Raises:
        TerminalError: a column is missing, a row is missing or there twice, or a value differs.
    """
    import pyarrow as pa

    if missing := [name for name in sent.column_names if name not in found.column_names]:
        raise _differs("the column was written, and is not there when it is read", missing[0])
    try:
        found = pa.table(
            [exact_cast(found[field.name], field.type) for field in sent.schema],
            names=sent.column_names,
        ).sort_by(KEY)
    except pa.ArrowException as e:
        raise _differs(f"a value came back that does not fit its type: {e}", "") from e
    keys, wanted = found[KEY].to_pylist(), sent[KEY].to_pylist()
    if keys != wanted:
        raise _differs(f"the rows {wanted} should be there, and {keys} are", KEY)
    for name in sent.column_names:
        for key, value, back in zip(
            keys, sent[name].to_pylist(), found[name].to_pylist(), strict=True
        ):
            if value != back:
                raise _differs(f"row {key}: {value!r} was written, and {back!r} was read", name)


def _named(kind: str) -> str:
    """The type's name with what any system takes in the name of a column."""
    return "a_" + kind.rstrip(")").replace("(", "_").replace(",", "_")


def _differs(what: str, column: str) -> TerminalError:
    return TerminalError(
        what,
        fix="Do not copy values of this type there, and please report this",
        code="value-differs",
        column=column,
    )

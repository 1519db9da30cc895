"""What the kits copy: values at the edges of every type, and names that need care."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from copy_core.schema import parse_type

_FIRST, _LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - without a zone
_TIMES = [
    _FIRST,
    datetime(1582, 10, 4, 23, 59, 59),  # noqa: DTZ001 - without a zone
    datetime(1969, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001 - without a zone
    datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001 - an hour that no clock in Berlin shows
    _LAST,
]

VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    **{f"int{n}": [-(2 ** (n - 1)), -1, 0, 2 ** (n - 1) - 1] for n in (8, 16, 32, 64)},
    **{f"uint{n}": [0, 1, 2**n - 1] for n in (8, 16, 32, 64)},
    "float32": [0.0, -1.5, 2.0**-126, 3.4028234663852886e38],
    "float64": [0.0, 0.1, -1e-300, 5e-324, 1.7976931348623157e308, 2.0**53 + 2],
    "decimal(15,0)": [Decimal(10) ** 15 - 1, Decimal(0), 1 - Decimal(10) ** 15],
    "decimal(5,0)": [Decimal(-99999), Decimal(0), Decimal(99999)],
    "decimal(18,4)": [Decimal("-12345678901234.5678"), Decimal("0.0001"), Decimal("1.5000")],
    "decimal(38,0)": [Decimal("9" * 38), Decimal("-" + "9" * 38), Decimal(10) ** 19],
    "decimal(38,10)": [Decimal("9" * 28 + "." + "9" * 10), Decimal("-0.0000000001")],
    "string": [
        "",
        " ",
        "plain",
        "00123",
        "1e5",
        "true",
        "NULL",
        "null",
        "2026-01-01",
        'a "quoted" word',
        "it's",
        "comma, semicolon; pipe|",
        "line\nbreak\r\nand\ttab",
        "back\\slash \\N",
        "%41 100% ?",
        "Zoë 表 😀 e\u0301",
        "long " * 20_000,
    ],
    "binary": [b"", b"\x00", b"\x00\xff\xfe", bytes(range(256)), b"'quoted'\n"],
    "date": [date(1, 1, 1), date(1582, 10, 4), date(1970, 1, 1), date(9999, 12, 31)],
    "time": [time(0), time(12, 34, 56), time(23, 59, 59, 999_999), time(0, 0, 0, 1)],
    "timestamp": _TIMES,
    "timestamp_utc": [t.replace(tzinfo=UTC) for t in _TIMES],
}
"""Some values of each canonical type, its extremes among them."""

# Ascending values of each type that may order changes, close enough to show a lost digit.
STEPS: dict[str, list[Any]] = {
    "int64": [-(2**63), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1],
    "decimal(15,0)": [Decimal(n) for n in (-(10**14), -1, 0, 10**15 - 2, 10**15 - 1)],
    "decimal(38,0)": [Decimal(n) for n in (-(10**37), 0, 2**64, 2**64 + 1, 10**37)],
    "date": [date(1, 1, 2), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)],
    "timestamp": [
        datetime(1, 1, 2),  # noqa: DTZ001 - without a zone
        *(datetime(2026, 1, 1, 12, 0, 0, us) for us in (0, 1, 2, 3_333, 3_334, 999_999)),  # noqa: DTZ001 - without a zone
        datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001 - without a zone
    ],
    "timestamp_utc": [
        datetime(1, 1, 2, tzinfo=UTC),
        *(datetime(2026, 1, 1, 12, 0, 0, us, tzinfo=UTC) for us in (0, 1, 2, 3_333, 999_999)),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    "string": [f"2026-01-01T12:00:00.{ticks:07}" for ticks in (0, 1, 2, 10, 3_333_333, 9_999_999)],
}

ODD_NAMES = [
    "with space",
    'dou"ble',
    "apo'strophe",
    "[bracket]",
    "close]",
    "back`tick",
    "select",
    "percent%41%s",
    "question?:name",
    "semi;colon--",
    "com,ma (paren)",
    "a=b",
    "Zoë 表",
    "MixedCase",
    "dot.ted",
    "#hash & co",
    "{brace}",
]


def ids(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values]


def table(rows: int = 5, start: int = 0) -> pa.Table:
    """Rows with an ascending `id` that is never null, a `name`, and `at`, ascending with `id`."""
    numbers = range(start, start + rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "name": pa.array([f"row {n}" for n in numbers], pa.string()),
            "at": pa.array([10 * n for n in numbers], pa.int64()),
        },
        schema=pa.schema(
            [pa.field("id", pa.int64(), nullable=False), ("name", pa.string()), ("at", pa.int64())]
        ),
    )


def typed(kind: str, values: Iterable[Any] | None = None) -> pa.Table:
    """Rows with an ascending `id` and a column `value` of the type named; the last one is null."""
    chosen = [*(VALUES[kind] if values is None else values), None]
    return pa.table(
        {
            "id": pa.array(range(len(chosen)), pa.int64()),
            "value": pa.array(chosen, parse_type(kind)),
        },
        schema=pa.schema([pa.field("id", pa.int64(), nullable=False), ("value", parse_type(kind))]),
    )


def rows_of(*tables: pa.Table) -> Counter[tuple[Any, ...]]:
    """The rows, in no order, each with how often it is there."""
    return Counter(
        tuple(row.values()) for t in tables for row in t.select(sorted(t.column_names)).to_pylist()
    )

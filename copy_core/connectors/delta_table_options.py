"""What connections to Delta tables say of making them and of looking after them. Plain data."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, field_validator, model_validator

from copy_core.job import Definition, Name, Span

RETENTION = "delta.deletedFileRetentionDuration"
"""The property that says for how long files stay that have left a table."""
_RETENTION = timedelta(weeks=1)
_LEAST = timedelta(days=1)

_FLAG, _NUMBER, _COUNT = "true|false", r"-1|\d+", r"[1-9]\d*"
_SPAN = r"interval (\d+) (second|minute|hour|day|week)s?"
_FORMS = {
    _FLAG: "true or false",
    _NUMBER: "a whole number",
    _COUNT: "a whole number above 0",
    _SPAN: "a span such as interval 7 days",
}
# Those of https://docs.delta.io/latest/table-properties.html that ask nothing of a writer which is
# not done here. delta-rs 1.6 makes no table with a property that it does not know.
_KNOWN = {
    "delta.appendOnly": _FLAG,
    "delta.autoOptimize.autoCompact": _FLAG,
    "delta.autoOptimize.optimizeWrite": _FLAG,
    "delta.checkpoint.writeStatsAsJson": _FLAG,
    "delta.checkpoint.writeStatsAsStruct": _FLAG,
    "delta.checkpointInterval": _COUNT,
    "delta.dataSkippingNumIndexedCols": _NUMBER,
    RETENTION: _SPAN,
    "delta.enableChangeDataFeed": _FLAG,
    "delta.enableExpiredLogCleanup": _FLAG,
    "delta.logRetentionDuration": _SPAN,
    "delta.targetFileSize": _COUNT,
}


def _text(value: object) -> object:
    """Numbers and flags need no quotes in a file."""
    return str(value).lower() if isinstance(value, bool | int) else value


_Value = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | bool | int)]


class TableOptions(Definition):
    """How Delta tables are made, and looked after once a copy into them is done."""

    properties: dict[Name, _Value] = {}
    """Table properties of tables that a copy makes, such as `delta.enableChangeDataFeed: true`."""
    optimize: bool = False
    """Whether small files of a table are written together after a copy into it."""
    vacuum: Span | None = None
    """After a copy, files go that left the table longer ago than this, such as `7d`."""

    @field_validator("properties")
    @classmethod
    def _properties(cls, properties: dict[str, str]) -> dict[str, str]:
        for name, value in properties.items():
            if name not in _KNOWN:
                raise ValueError(f"{name} cannot be set: use one of {', '.join(_KNOWN)}")
            if not re.fullmatch(_KNOWN[name], value):
                raise ValueError(f"{name} must be {_FORMS[_KNOWN[name]]}, not {value}")
        return properties

    @model_validator(mode="after")
    def _spans(self) -> Self:
        if self.vacuum is None:
            return self
        if not isinstance(self.vacuum, timedelta) or self.vacuum < _LEAST:
            raise ValueError("vacuum must be a span of a day or more, such as 7d")
        kept = retention(self.made_with)
        if kept is None or kept < self.vacuum:
            raise ValueError(f"vacuum is longer than {RETENTION}: leave that property out")
        return self

    @property
    def made_with(self) -> dict[str, str]:
        """The properties of a table that a copy makes: it keeps files as long as `vacuum` says."""
        kept: dict[str, str] = {}
        if isinstance(self.vacuum, timedelta):
            kept[RETENTION] = f"interval {int(self.vacuum.total_seconds())} seconds"
        return kept | self.properties


def retention(properties: dict[str, str]) -> timedelta | None:
    """For how long files stay that have left a table; None for a span that is not understood."""
    text = properties.get(RETENTION)
    if text is None:
        return _RETENTION
    if (found := re.fullmatch(_SPAN, text.strip().lower())) is None:
        return None
    try:
        return timedelta(**{f"{found[2]}s": int(found[1])})
    except OverflowError:  # for ever
        return timedelta.max

"""The log: every record says where it comes from (job, run, table, step, part), and no secret.

The fields travel beside the message, as attributes named `copyjob.…`: OpenTelemetry exports them
as attributes of the record (custom dimensions in Application Insights), and a service writes them
as JSON. Traces and metrics use the same names.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from copy_core.secrets import scrub

if TYPE_CHECKING:
    from copy_core.model import JsonDict

Field = str | int | float
Fields = Mapping[str, Field]

log = logging.getLogger("copyjob")

_PREFIX = "copyjob."
# https://opentelemetry.io/docs/specs/semconv/general/attributes/ names these two.
_STANDARD = ("error.", "exception.")
_fields: ContextVar[Fields] = ContextVar("copyjob_fields", default=MappingProxyType({}))


@contextmanager
def within(**fields: Field | None) -> Iterator[None]:
    """Says where the work of a `with` block belongs, in every record that it logs.

    Args:
        **fields: the place by kind: job, run_id, table, step, part. Those that are None or empty
            are left out.
    """
    known = {name: value for name, value in fields.items() if value not in (None, "")}
    token = _fields.set({**_fields.get(), **known})
    try:
        yield
    finally:
        _fields.reset(token)


def attributes(**more: Field) -> dict[str, Field]:
    """Where the work at hand belongs, and what else is to be said, by the names of attributes."""
    return {_PREFIX + name: value for name, value in {**_fields.get(), **more}.items()}


def error_attributes(error: JsonDict) -> dict[str, Field]:
    """An error's code and place.

    Args:
        error: what `CopyJobError.to_json` made of it.
    """
    place = ", ".join(f"{kind} {name}" for kind, name in error["where"].items())
    return {"error.type": error["code"], **({_PREFIX + "where": place} if place else {})}


class _Clean(logging.Filter):
    """Puts the fields into a record, and takes secrets out of it, its traceback included.

    A traceback repeats what libraries say, and they may repeat what they were given. So it becomes
    text here, for every handler; `exc_info` is gone then, `exc_text` stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        extra = vars(record)
        for name, value in attributes().items():
            extra.setdefault(name, value)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError) as e:  # a library's mistake must not stop a copy
            message = f"{record.msg} {record.args} (cannot be formatted: {e})"
        record.msg, record.args = scrub(message), ()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            record.exc_text = scrub("".join(traceback.format_exception(error)).rstrip())
            extra["exception.type"] = type(error).__name__
            extra["exception.message"] = scrub(str(error))
            extra["exception.stacktrace"] = record.exc_text
        record.exc_info = None
        if record.stack_info:
            record.stack_info = scrub(record.stack_info)
        for name, value in _said(record).items():
            if isinstance(value, str):
                extra[name] = scrub(value)
        return True


_clean = _Clean()
log.addFilter(_clean)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and the error if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: JsonDict = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _said(record).items():
            line.setdefault(name.removeprefix(_PREFIX), value)
        return json.dumps(line, default=str)


class _ServiceHandler(logging.StreamHandler[TextIO]):
    """What `setup` puts in place, and replaces when it is called again."""


def setup(stream: TextIO | None = None, *, verbose: bool = False) -> None:
    """Writes the log of a service: JSON lines, or plain ones where a person looks on.

    Records of other libraries are written from warnings on. Handlers that OpenTelemetry put in
    place stay.

    Args:
        stream: where to; stderr when None.
        verbose: whether to write debug records too.
    """
    handler = _ServiceHandler(stream or sys.stderr)
    on_terminal = handler.stream.isatty()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(plain if on_terminal else JsonLines())
    handler.addFilter(_clean)
    root = logging.getLogger()
    others = [each for each in root.handlers if not isinstance(each, _ServiceHandler)]
    root.handlers = [*others, handler]
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


def _said(record: logging.LogRecord) -> JsonDict:
    """What a record says beside its message."""
    return {k: v for k, v in vars(record).items() if k.startswith((_PREFIX, *_STANDARD))}

"""The log: where a record comes from, as fields and as JSON; and that no secret gets into it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from copy_core import logs
from copy_core.errors import ConfigError
from copy_core.logs import log
from copy_core.secrets import remember

SECRET = "gX7#planted in the log/42"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], log.handlers[:], log.level, log.propagate)
    yield
    root.handlers, log.handlers = before[0], before[1]
    log.setLevel(before[2])
    log.propagate = before[3]


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.setup(stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_record_says_where_it_comes_from(out: io.StringIO) -> None:
    with logs.within(job="sales", run_id="r1", step="plan", table=""):
        with logs.within(table="dbo.T", part=0):
            log.info("in a part")
        log.info("in the run")
    log.info("outside")
    inner, outer, outside = lines(out)
    about = {"job": "sales", "run_id": "r1", "step": "plan"}
    assert {k: inner[k] for k in inner.keys() - {"time"}} == {
        "level": "INFO",
        "logger": "copyjob",
        "message": "in a part",
        "table": "dbo.T",
        "part": 0,
        **about,
    }
    assert outer.items() >= about.items()
    assert not outer.keys() & {"table", "part"}
    assert outside.keys() == {"time", "level", "logger", "message"}


def test_threads_do_not_mix_up_where_they_are(out: io.StringIO) -> None:
    def work(number: int) -> None:
        with logs.within(table=f"t{number}"):
            for _ in range(50):
                log.info("t%d", number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    written = lines(out)
    assert len(written) == 400
    assert all(line["message"] == line["table"] for line in written)


def test_a_line_is_one_object_whatever_is_said(out: io.StringIO) -> None:
    log.info("two\nlines and ünïcode \u2028 %s", {"a": 1})
    (line,) = lines(out)
    assert line["message"] == "two\nlines and ünïcode \u2028 {'a': 1}"
    assert line["time"].endswith("+00:00")


def test_an_error_tells_its_code_its_place_and_its_traceback(out: io.StringIO) -> None:
    try:
        raise ConfigError("no such column", code="column-unknown", table="dbo.T", column="when")
    except ConfigError as e:
        log.error("%s", e, exc_info=e, extra=logs.error_attributes(e.to_json()))
    (line,) = lines(out)
    assert line["error.type"] == "column-unknown"
    assert line["where"] == "table dbo.T, column when"
    assert line["exception.type"] == "ConfigError"
    assert "test_logs.py" in line["exception.stacktrace"]


def plant() -> None:
    """Logs a secret in every way there is."""
    log.warning("as an argument: %s", SECRET)
    log.warning(f"in the message: {SECRET}")
    log.warning("as an attribute", extra={"copyjob.where": f"file {SECRET}"})
    log.warning("not to be formatted %d", SECRET)
    with logs.within(table=SECRET):
        log.warning("as a field")
    try:
        try:
            raise ValueError(f"as a cause: {SECRET}")
        except ValueError as e:
            raise RuntimeError(f"as an error: {SECRET}") from e
    except RuntimeError:
        log.exception("as an exception")


def test_no_handler_sees_a_secret_or_a_traceback_with_one() -> None:
    remember(SECRET)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)  # somebody else's, such as the Functions worker's
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    plant()
    text = stream.getvalue()
    assert "as a cause: ***" in text
    assert "RuntimeError: as an error: ***" in text
    assert SECRET not in text


def test_no_json_line_holds_a_secret(out: io.StringIO) -> None:
    remember(SECRET)
    plant()
    logging.getLogger("somebody.else").warning("connecting with %s", SECRET)
    written = lines(out)
    assert len(written) == 7
    assert written[-1]["message"] == "connecting with ***"
    assert SECRET not in out.getvalue()


def test_opentelemetry_exports_the_fields_and_no_secret() -> None:
    remember(SECRET)
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # it has no types
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with pytest.deprecated_call():  # its successor, in a package of its own, does the same
        handler = LoggingHandler(logger_provider=provider)
    log.addHandler(handler)
    with logs.within(job="sales", run_id="r1", part=3):
        plant()
    records = [data.log_record for data in exporter.get_finished_logs()]
    provider.shutdown()
    assert len(records) == 6
    for record in records:
        found = dict(record.attributes or {})
        assert found["copyjob.job"] == "sales"
        assert (found["copyjob.run_id"], found["copyjob.part"]) == ("r1", 3)
        assert SECRET not in str([record.body, found])
    failed = dict(records[-1].attributes or {})
    assert failed["exception.type"] == "RuntimeError"
    assert failed["exception.message"] == "as an error: ***"
    assert "as a cause: ***" in str(failed["exception.stacktrace"])


def test_a_record_that_cannot_be_formatted_is_logged_all_the_same(out: io.StringIO) -> None:
    wrong = "%s and %d files"
    log.info(wrong, "many")
    logging.getLogger("somebody.else").warning(wrong, "one")
    ours, theirs = lines(out)
    assert "many" in ours["message"]
    assert "one" in theirs["message"]


def test_set_up_twice_writes_once_and_leaves_others_handlers() -> None:
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    first, second = io.StringIO(), io.StringIO()
    logs.setup(first)
    logs.setup(second)
    log.info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1
    assert theirs in logging.getLogger().handlers


def test_only_warnings_of_other_libraries_are_written_and_ours_as_told(out: io.StringIO) -> None:
    logging.getLogger("azure.core").info("request headers")
    log.debug("detail")
    assert lines(out) == []
    logs.setup(out, verbose=True)
    log.debug("detail")
    logging.getLogger("azure.core").info("request headers")
    assert [line["message"] for line in lines(out)] == ["detail"]


def test_people_at_a_terminal_get_plain_lines() -> None:
    terminal = Terminal()
    logs.setup(terminal)
    log.info("run began")
    assert terminal.getvalue().endswith(" INFO run began\n")

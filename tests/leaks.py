"""A plugin of pytest: a run of tests fails when a planted secret turns up anywhere.

It looks for the secrets of `tests.planted` in

* every log record, whoever logs it, and all that pytest captures of stdout and stderr;
* what processes say to tests that wait for them, and commands that run within the test;
* every answer of the API, and whatever tests hand to `heard`;
* every file below pytest's temporary folder when the last test is over: logs, state, summaries,
  ledgers, tables;
* the places that `also` names: what the storage servers hold.

It cannot see what is compressed (Parquet, most of it), what a test removes itself, and what a
process keeps to itself. It tells where a secret is, and never shows it.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.planted import MARK, found, found_in_files

Place = Callable[[], Iterator[tuple[str, str]]]

_HITS = "COPYJOB_TEST_LEAKS"  # the file of what was found; all processes of a run add to it
_folder = pytest.StashKey[Path]()
_places = pytest.StashKey[list[Place]]()
_found = pytest.StashKey[list[str]]()


def heard(said: str | bytes | None, where: str) -> None:
    """Looks for planted secrets in what was said.

    Args:
        said: the text.
        where: who said it; the test at hand is added.
    """
    data = said.encode(errors="surrogatepass") if isinstance(said, str) else said or b""
    if kind := found(data):
        _note(f"{where}, in {os.environ.get('PYTEST_CURRENT_TEST', 'no test')}", kind)


def hear_answers() -> None:
    """Looks at what every app of this process answers from now on, whoever asks it."""
    from copy_core.web.edge import Edge

    answer = Edge.__call__
    if hasattr(answer, "heard"):
        return

    async def call(self: Edge, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            headers = b"\n".join(b": ".join(pair) for pair in message.get("headers", ()))
            heard(headers + b"\n" + message.get("body", b""), f"an answer of {scope.get('path')}")
            await send(message)

        await answer(self, scope, receive, sent)

    call.heard = True  # type: ignore[attr-defined] # a mark of our own
    Edge.__call__ = call  # type: ignore[method-assign] # that is what it is about


def also(config: pytest.Config, place: Place) -> None:
    """Adds a place to be looked at when all tests are over: it yields what was found, and its
    form.
    """
    config.stash.setdefault(_places, []).append(place)


def _note(where: str, kind: str) -> None:
    path = os.environ.get(_HITS)
    if path:
        line = f"{where} ({kind})".replace(MARK, "***").replace("\n", " ")
        with Path(path).open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{line}\n")


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            parts = [record.getMessage()]
        except (TypeError, ValueError, KeyError):
            parts = [f"{record.msg} {record.args}"]
        if record.exc_info and record.exc_info[1]:
            parts += traceback.format_exception(record.exc_info[1])
        parts += [str(value) for name, value in vars(record).items() if name != "args"]
        heard("\n".join(parts), f"the log {record.name}")


def _listen() -> None:
    """To what tests do not let pytest capture."""
    logging.getLogger().addHandler(_Ear())
    logging.getLogger("copyjob").setLevel(logging.INFO)  # as services do
    communicate, invoke = subprocess.Popen.communicate, CliRunner.invoke

    def communicated(self: Any, *args: Any, **kwargs: Any) -> Any:
        said = communicate(self, *args, **kwargs)
        for each in said:
            heard(each, "what a process said")
        return said

    def invoked(self: CliRunner, *args: Any, **kwargs: Any) -> Any:
        result = invoke(self, *args, **kwargs)
        heard(result.stdout_bytes, "what a command said")
        heard(result.stderr_bytes, "what a command said")
        return result

    subprocess.Popen.communicate = communicated  # type: ignore[method-assign] # as above
    CliRunner.invoke = invoked  # type: ignore[method-assign] # as above


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen, in the controller and in every worker."""
    if not hasattr(config, "workerinput"):
        config.stash[_folder] = Path(tempfile.mkdtemp(prefix="copyjob-leaks-"))
        config.stash[_found] = []
        os.environ[_HITS] = str(config.stash[_folder] / "found")  # workers inherit it
    _listen()


@pytest.fixture(scope="session", autouse=True)
def _files_without_secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Looks at the files of this process's tests when the last one is over."""
    yield
    folder = tmp_path_factory.getbasetemp()
    for path, kind in found_in_files(folder):
        _note(f"the file {path.relative_to(folder)}", kind)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Looks at what pytest captured, which workers send to the controller."""
    for title, text in report.sections:
        if kind := found(text.encode(errors="surrogatepass")):
            _note(f"{title} of {report.nodeid}", kind)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look at the places that all tests share, and let the run fail by what was found."""
    config = session.config
    if _found not in config.stash:
        return
    for place in config.stash.get(_places, []):
        for where, kind in place():
            _note(where, kind)
    hits = config.stash[_folder] / "found"
    if hits.exists():
        config.stash[_found] += sorted({*hits.read_text("utf-8").splitlines()})
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what was found."""
    if hits := config.stash.get(_found, []):
        terminalreporter.section("planted secrets have leaked", red=True, bold=True)
        for hit in hits:
            terminalreporter.write_line(hit, red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what this run kept."""
    if _folder in config.stash:
        os.environ.pop(_HITS, None)
        shutil.rmtree(config.stash[_folder], ignore_errors=True)

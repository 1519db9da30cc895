"""What the commands share: options, opening a job and its state, errors, exit codes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from copy_core.service.settings import STATE

if TYPE_CHECKING:
    from copy_core.connectors.options import Connection
    from copy_core.errors import CopyJobError
    from copy_core.job import Job
    from copy_core.model import JsonDict, RunSummary
    from copy_core.state.base import StateStore

DONE, FAILED, BAD_JOB, HELD, CANCELLED = 0, 1, 2, 3, 130
"""Exit codes: all is well; some table failed; the job file, a connection or a name on the command
line must be changed; another run holds the job; somebody stopped it (128 + SIGINT, as shells
have it)."""

_EXIT_CODES = {"config": BAD_JOB, "conflict": HELD, "cancelled": CANCELLED}


class Opened(NamedTuple):
    """A job, ready to be worked with.

    Attributes:
        job: the job.
        connections: its connections by name.
        store: its state.
        state: where that is, as the user gave it or would give it.
    """

    job: Job
    connections: dict[str, Connection]
    store: StateStore
    state: str


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options of every command that needs a job and its state."""
    command = click.option(
        "--state",
        metavar="URL_OR_PATH",
        envvar=STATE.name,
        help="Where the job's state is.  [default: $COPYJOB_STATE, else .copyjob/state.db beside"
        " the job file]",
    )(command)
    return file_options(command)


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options of every command that needs a job."""
    command = click.option(
        "--connections",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A file with connections.  [default: connections.yaml beside the job file]",
    )(command)
    return click.argument("jobfile", type=click.Path(path_type=Path))(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """Makes a command of a function that returns its exit code: errors are shown to people."""

    @click.option("-v", "--verbose", is_flag=True, help="Log what happens, with tracebacks.")
    @wraps(command)
    def run(*args: Any, verbose: bool, **options: Any) -> None:
        _log_to_stderr(verbose=verbose)
        try:
            code = command(*args, **options)
        except KeyboardInterrupt:
            code = CANCELLED
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do
        except Exception as e:
            from copy_core.failures import classify

            error = classify(e)
            logging.getLogger("copyjob").debug("%s", error, exc_info=e)
            show_error(error)
            code = exit_code(error.recovery)
        sys.exit(code)

    return run


def exit_code(recovery: str) -> int:
    """The exit code for an error of a class, when the whole command failed with it."""
    return _EXIT_CODES.get(recovery, FAILED)


@contextmanager
def opened(jobfile: Path, connections: Path | None, state: str | None) -> Iterator[Opened]:
    """Loads a job and opens its state.

    Raises:
        ConfigError: the job file, a connection or the state's address must be changed.
        TransientError: the state does not answer.
    """
    from copy_core.jobfile import load
    from copy_core.state.registry import open_state

    job, known = load(jobfile, connections)
    state = state or str(jobfile.parent / ".copyjob" / "state.db")
    with open_state(state) as store:
        yield Opened(job, known, store, state)


def show_error(error: CopyJobError | JsonDict) -> None:
    """Prints an error to stderr: what happened, where, and what to change."""
    problems = getattr(error, "problems", None)
    if problems is not None:
        for problem in problems:
            click.echo(str(problem), err=True)
        return
    known = error if isinstance(error, dict) else error.to_json()
    _paragraph(click.style("error:", fg="red", bold=True), "error:", known["message"])
    if known["where"]:
        place = ", ".join(f"{kind} {name}" for kind, name in known["where"].items())
        _paragraph("   at:", "   at:", place)
    if known["fix"]:
        _paragraph("  fix:", "  fix:", known["fix"])


def show_errors(summary: RunSummary) -> None:
    """Prints the errors of a run to stderr; one that several tables share is told once."""
    shared: dict[str, tuple[JsonDict, list[str]]] = {}
    errors = [summary.error, *(table.error for table in summary.tables)]
    for error in errors:
        if error is None:
            continue
        where = {kind: name for kind, name in error["where"].items() if kind != "table"}
        key = json.dumps([error["message"], error["fix"], where])
        _, tables = shared.setdefault(key, (error, []))
        tables += [error["where"]["table"]] if "table" in error["where"] else []
    for error, tables in shared.values():
        place = {"table" if len(tables) == 1 else "tables": ", ".join(dict.fromkeys(tables))}
        others = {kind: name for kind, name in error["where"].items() if kind != "table"}
        click.echo(err=True)
        show_error(error | {"where": others | place if tables else others})


def _paragraph(styled: str, label: str, what: str) -> None:
    """Prints a label and some text to stderr, wrapped beside the label in a terminal."""
    lines = [what]
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - len(label) - 1
        lines = textwrap.wrap(what, max(width, 20), break_long_words=False, break_on_hyphens=False)
    indent = "\n" + " " * (len(label) + 1)
    click.echo(f"{styled} {indent.join(lines)}", err=True)


def print_json(value: JsonDict) -> None:
    """Prints one JSON object to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def terminal_width() -> int | None:
    """The cells in a line of the terminal; None when stdout is none, so nothing must be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colour() -> bool | None:
    """What click is told about colour: never under NO_COLOR (https://no-color.org), else by
    whether the stream is a terminal.
    """
    return False if os.environ.get("NO_COLOR") else None


class _Log(logging.Handler):
    """Writes to whatever stderr is at the moment: live progress puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def _log_to_stderr(*, verbose: bool) -> None:
    """Warnings always; everything, with tracebacks, when verbose."""
    log = logging.getLogger("copyjob")
    handler = _Log()
    if verbose:
        handler.setFormatter(logging.Formatter("%(asctime)s %(threadName)s %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        # What tells of an error fails a table or the run, and is shown with it.
        handler.addFilter(lambda record: not hasattr(record, "error.type"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)

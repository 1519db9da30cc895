"""`copyjob run`: runs a job in this process, and shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from copy_core.cli.common import (
    BAD_JOB,
    CANCELLED,
    DONE,
    FAILED,
    HELD,
    Opened,
    print_json,
    show_errors,
    terminal_width,
)
from copy_core.cli.progress import Silent, display
from copy_core.cli.report import summary_lines
from copy_core.cli.signals import stopped_by_signals
from copy_core.flow import Call
from copy_core.runners.local import LocalRunner

if TYPE_CHECKING:
    from copy_core.context import Context
    from copy_core.flow import Step
    from copy_core.model import RunSummary


def run(opened: Opened, names: tuple[str, ...], *, full: bool, as_json: bool, quiet: bool) -> int:
    """Runs a job and shows it; returns the exit code.

    Raises:
        ConfigError: the job has no such table, or a secret is not set.
    """
    from copy_core.selection import selected

    tables = selected(opened.job, names)
    _check_secrets(opened)
    shown = display(tables, quiet=quiet, as_json=as_json)
    with shown:
        summary = _run(opened, tables, shown, full=full)
    if as_json:
        print_json(summary.to_json())
    elif not quiet and summary.status != "conflict":
        click.echo()
        for line in summary_lines(summary, terminal_width()):
            click.echo(line)
    show_errors(summary)
    return _exit_code(summary)


def _run(opened: Opened, tables: list[str], shown: Silent, *, full: bool) -> RunSummary:
    from copy_core.context import Context

    context = Context(
        opened.job,
        opened.connections,
        opened.store,
        observe=shown.observe,
        ended=lambda _, result: shown.ended(result),
    )
    runner = _WatchedRunner(context, tables, shown)

    def stop() -> None:
        runner.stop()
        shown.stopping()

    with stopped_by_signals(stop):
        return runner.run(tables, full=full)


class _WatchedRunner(LocalRunner):
    """A runner that tells at which step each table is."""

    def __init__(self, context: Context, tables: list[str], shown: Silent) -> None:
        super().__init__(context)
        self._names, self._shown = tables, shown

    def _do(self, step: Step) -> Any:
        if isinstance(step, Call) and step.name == "plan_tables":
            first = step.arg["first"]
            for table in self._names[first : first + step.arg["count"]]:
                self._shown.at_step(table, "plan")
        elif isinstance(step, Call) and step.name != "record" and "table" in step.arg:
            self._shown.at_step(step.arg["table"], step.name)
        return super()._do(step)


def _check_secrets(opened: Opened) -> None:
    """A secret that is not set stops the run before anything of it is recorded."""
    from copy_core.errors import ConfigError
    from copy_core.secrets import resolve

    for name in (opened.job.source, opened.job.destination):
        try:
            resolve(opened.connections[name].model_dump_json())
        except ConfigError as e:
            raise e.at(job=opened.job.name, connection=name) from None


def _exit_code(summary: RunSummary) -> int:
    if summary.status == "conflict":
        return HELD
    if summary.status == "cancelled":
        return CANCELLED
    if not summary.tables and summary.error and summary.error["recovery"] == "config":
        return BAD_JOB
    return DONE if summary.status == "succeeded" else FAILED

"""`copyjob doctor`: tries a connection and tells what works, a line a check."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from copy_core.cli import text
from copy_core.cli.common import DONE, FAILED, show_error, terminal_width
from copy_core.cli.signals import stopped_by_signals
from copy_core.connectors.base import near
from copy_core.connectors.options import Connection
from copy_core.doctor.checks import Checks, Finding
from copy_core.doctor.examine import examine, use_of
from copy_core.errors import ConfigError
from copy_core.job import Job
from copy_core.jobfile import CONNECTIONS, ENDINGS, checked_connections, load
from copy_core.yaml_lines import read

# Cells: of a check's name, of a time, before what is told, of what is told at least.
_NAME, _TIME, _BEFORE, _LEAST = 13, 6, 26, 20


def doctor(
    name: str, jobfile: Path | None, connections: Path | None, table: str | None, *, write: bool
) -> int:
    """Tries a connection; returns the exit code.

    Args:
        name: the connection.
        jobfile: the job file that names it, if there is one.
        connections: the file that defines it, unless the job file or the one beside it does.
        table: the table to look at.
        write: whether to write a table there too.

    Raises:
        ConfigError: a file must be changed, or there is no such connection.
    """
    job, known = _loaded(jobfile, connections)
    if name not in known:
        raise ConfigError(
            f"there is no connection '{name}'",
            fix=near(name, sorted(known)),
            code="connection-unknown",
        )
    use = use_of(job, name, table)
    click.secho(name, bold=True)
    shown = _Shown()
    checks = Checks(name, shown.began, shown.ended)
    try:
        with stopped_by_signals(_stop):
            examine(known[name], use, checks, write=write)
    finally:
        shown.end_line()
    click.echo(_verdict(checks.findings))
    if use.writes and not write:
        click.secho("Nothing was written: --write tries that with a table of its own.", dim=True)
    return FAILED if any(finding.error for finding in checks.findings) else DONE


def _stop() -> None:
    # SIGTERM too: what was written is removed on the way out.
    raise KeyboardInterrupt


def _loaded(
    jobfile: Path | None, connections: Path | None
) -> tuple[Job | None, dict[str, Connection]]:
    if jobfile is not None:
        return load(jobfile, connections)
    here = [Path(f"{CONNECTIONS}{ending}") for ending in ENDINGS]
    file = connections or next((path for path in here if path.is_file()), here[0])
    return None, checked_connections([read(file)])


class _Shown:
    """Shows checks as they are made; an error that several share is told once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._open = False

    def began(self, check: str) -> None:
        # The line is begun before the check is: who waits sees for what.
        self.end_line()
        click.echo(f"  {check:{_NAME}} ", nl=False)
        self._open = True

    def end_line(self) -> None:
        """Ends the line of a check that was stopped."""
        if self._open:
            click.echo()
        self._open = False

    def ended(self, finding: Finding) -> None:
        error, lines = finding.error, [" ".join(finding.says.split())]
        known = error is not None and (error.what, error.fix) in self._told
        if known:
            lines = ["as above"]
        if (width := terminal_width()) is not None:
            lines = textwrap.wrap(lines[0], max(width - _BEFORE, _LEAST)) or [""]
        mark = click.style("✗", fg="red") if error else click.style("✓", fg="green")
        took = click.style(f"{text.seconds(finding.seconds):>{_TIME}}", dim=True)
        says = f"\n{' ' * _BEFORE}".join(lines)
        click.echo(f"{mark} {took}  {says}".rstrip())
        self._open = False
        if error and not known:
            show_error(error)
            self._told.add((error.what, error.fix))


def _verdict(findings: list[Finding]) -> str:
    failed = sum(finding.error is not None for finding in findings)
    if failed:
        return click.style(f"{failed} of {text.plural(len(findings), 'check')} failed", fg="red")
    return click.style(f"{text.plural(len(findings), 'check')} passed", fg="green")

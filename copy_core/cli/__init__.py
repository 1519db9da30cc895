"""The command line. What a command needs is imported when it is called, so help is instant."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import copy_core
from copy_core.cli.common import (
    DONE,
    colour,
    file_options,
    guarded,
    job_options,
    json_option,
    opened,
    print_json,
)
from copy_core.service.settings import CONNECTIONS, JOBS, STATE

_tables = click.option(
    "--table", "tables", metavar="T", multiple=True, help="Only this table; repeat for more."
)
_VERSION = f"copyjob {copy_core.__version__}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(copy_core.__version__, message=_VERSION)
@click.pass_context
def main(context: click.Context) -> None:
    """Copy tables between databases, lakes and files, fully or by what changed, each row once.

    Exit codes: 0 all is well, 1 a table or check failed, 2 the job file or the command must be
    changed, 3 another run holds the job, 130 stopped.
    """
    context.color = colour()
    for stream in (sys.stdout, sys.stderr):
        # A terminal without the characters shows others in their place; nothing fails by it.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


@main.command()
@file_options
@guarded
def validate(jobfile: Path, connections: Path | None) -> int:
    """Check a job file; every mistake is shown with its line."""
    from copy_core.cli.text import plural
    from copy_core.jobfile import load

    job, known = load(jobfile, connections)
    says = [plural(len(job.tables), "table"), plural(len(known), "connection")]
    says += [plural(len(job.schedules), "schedule")] if job.schedules else []
    click.echo(f"{click.style('ok', fg='green')}: {job.name}: {', '.join(says)}")
    return DONE


@main.command()
@job_options
@_tables
@json_option
@guarded
def plan(
    jobfile: Path,
    *,
    connections: Path | None,
    state: str | None,
    tables: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show what a run would copy now, part by part; writes nothing."""
    from copy_core.cli import planning

    with opened(jobfile, connections, state) as it:
        return planning.plan(it, tables, as_json=as_json)


@main.command()
@job_options
@_tables
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Show errors only.")
@click.option("--full", is_flag=True, help="Copy all rows anew; they replace what is there.")
@guarded
def run(
    jobfile: Path,
    *,
    connections: Path | None,
    state: str | None,
    tables: tuple[str, ...],
    full: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Copy what is new, now.

    Ctrl-C stops between two batches, and the next run goes on from there; twice kills.
    """
    from copy_core.cli import running

    with opened(jobfile, connections, state) as it:
        return running.run(it, tables, full=full, as_json=as_json, quiet=quiet)


@main.command()
@job_options
@click.option("--limit", metavar="N", type=click.IntRange(1), default=10, show_default=True,
              help="How many runs to list.")  # fmt: skip
@click.option("--run", "run_id", metavar="RUN_ID", help="Show this run, table by table.")
@json_option
@guarded
def status(
    jobfile: Path,
    *,
    connections: Path | None,
    state: str | None,
    limit: int,
    run_id: str | None,
    as_json: bool,
) -> int:
    """Show how far each table is, what is pending, and the last runs."""
    from copy_core.cli import remembered

    with opened(jobfile, connections, state) as it:
        if run_id:
            return remembered.show_run(it, run_id, as_json=as_json)
        return remembered.status(it, limit, as_json=as_json)


@main.command()
@job_options
@_tables
@click.option("--all", "all_tables", is_flag=True, help="Every table of the job.")
@click.option("--truncate", is_flag=True, help="The next commit replaces all rows, atomically.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@guarded
def reset(
    jobfile: Path,
    *,
    connections: Path | None,
    state: str | None,
    tables: tuple[str, ...],
    all_tables: bool,
    truncate: bool,
    yes: bool,
) -> int:
    """Forget how far tables were copied: the next run loads them anew.

    The destination stays as it is until that run; with --truncate its commit then replaces all
    rows in one atomic step, so readers see the old rows or the new.
    """
    from copy_core.cli import remembered

    if bool(tables) == all_tables:
        raise click.UsageError("Say which tables: --table T, once for each, or --all.")
    with opened(jobfile, connections, state) as it:
        if not yes:
            click.echo(remembered.reset_warning(it, tables, truncate=truncate))
            if not sys.stdin.isatty():
                raise click.UsageError("Nobody is there to be asked: add --yes.")
            click.confirm("Reset?", abort=True)
        return remembered.reset(it, tables, truncate=truncate)


@main.command()
@click.argument("connection")
@click.argument("jobfile", required=False, type=click.Path(path_type=Path))
@click.option("--connections", metavar="FILE", type=click.Path(path_type=Path),
              help="A file with connections.  [default: connections.yaml beside the job file, or"
              " here]")  # fmt: skip
@click.option("--table", metavar="T", help="Look at this table; else at the job's first, or at"
              " the first that is there.")  # fmt: skip
@click.option("--write", is_flag=True, help="Write too: a table of its own, which is removed.")
@guarded
def doctor(
    connection: str,
    jobfile: Path | None,
    *,
    connections: Path | None,
    table: str | None,
    write: bool,
) -> int:
    """Try a connection, and tell what works.

    With a job file, as that job uses the connection; without one, a connection of the file
    connections.yaml here, in every way.
    """
    from copy_core.cli.doctor import doctor as tried

    return tried(connection, jobfile, connections, table, write=write)


@main.command()
@click.option("--jobs", metavar="FOLDER_OR_URL", envvar=JOBS.name, default=JOBS.default,
              help="Where the jobs are.  [default: $COPYJOB_JOBS, else this folder]")  # fmt: skip
@click.option("--connections", metavar="FILE", envvar=CONNECTIONS.name, default="",
              help="The file with the connections that jobs may name.  [default:"
              " $COPYJOB_CONNECTIONS, else connections.yaml beside the job files]")  # fmt: skip
@click.option("--state", metavar="URL_OR_PATH", envvar=STATE.name,
              help="Where the state is.  [default: $COPYJOB_STATE, else .copyjob/state.db in the"
              " folder of the job files]")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True,
              help="The port; 0 takes one that is free.")  # fmt: skip
@guarded
def serve(*, jobs: str, connections: str, state: str | None, host: str, port: int) -> int:
    """Serve the API and run jobs when they are due, on this machine.

    Whoever knows the token may use the API: the one in $COPYJOB_TOKEN, or a fresh one that is
    printed at the start. Ctrl-C stops runs between two batches; they go on at the next start.
    """
    import os

    from copy_core.cli import serving
    from copy_core.service.settings import Settings

    given = {JOBS.name: jobs, CONNECTIONS.name: connections, STATE.name: state or ""}
    settings = Settings.from_environment("serve", {**os.environ, **given})
    return serving.serve(settings, host, port)


@main.command()
@guarded
def schema() -> int:
    """Print the JSON Schema of the job file, for editors."""
    from copy_core.jobfile import json_schema

    print_json(json_schema())
    return DONE


@main.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@guarded
def demo(folder: Path | None) -> int:
    """Copy real tables here, kill a run half-way, compare all figures."""
    from copy_core.demo import show

    return show(folder)


@main.command()
@guarded
def version() -> int:
    """Print the version."""
    click.echo(_VERSION)
    return DONE

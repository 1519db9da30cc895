"""Reads job files: YAML or JSON in, a checked job and its connections out, or every error at once.

`copy_core.yaml_nodes` says how words and numbers of a file are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from pydantic import ConfigDict, Field

from copy_core.connectors.file_options import FileOptions
from copy_core.connectors.options import Connection
from copy_core.errors import ConfigError
from copy_core.job import FILE_MODIFIED, Definition, Job, JobFile, Name, Settings, resolve
from copy_core.job_rules import check_tables, unknown_type
from copy_core.job_shape import check, nearest
from copy_core.schedule_rules import check_schedules
from copy_core.yaml_lines import Document, Problem, decoded, problem_of, read
from copy_core.yaml_nodes import UnreadableError

ENDINGS = (".yaml", ".yml", ".json")
"""How the name of a job file, or of a file with connections, may end."""

CONNECTIONS = "connections"
"""The name, before its ending, of the file with connections beside job files."""

_OPTIONS = {
    name: options
    for options in get_args(get_args(Connection)[0])
    for name in get_args(options.model_fields["type"].annotation)
}


class Loaded(NamedTuple):
    """A job file that holds.

    Attributes:
        job: the job, with every setting decided.
        connections: every connection that the files define, by name.
    """

    job: Job
    connections: dict[str, Connection]


class JobFileError(ConfigError):
    """A job file, or the connections that it is read with, must be changed.

    Attributes:
        problems: all that is wrong, file by file, from top to bottom.
    """

    def __init__(self, problems: Iterable[Problem], code: str = "job-file") -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)), code=code)
        self.args = (self.problems, code)


def load(path: Path, connections: Path | None = None) -> Loaded:
    """Reads a job file and checks it.

    Args:
        path: the job file, YAML or (by its name) JSON.
        connections: a file with connections; without it, `connections.yaml`, `.yml` or `.json`
            beside the job file is read as well, where it exists. The job file may hold
            connections of its own, under other names.

    Raises:
        JobFileError: something is wrong; it holds every problem of every file, with its line.
    """
    file = read(path)
    others = [connections] if connections else _beside(file)
    return checked(file, [read(other) for other in others])


def checked(
    file: Document, others: Sequence[Document] = (), *, name: str = "", sent: bool = False
) -> Loaded:
    """Checks a job file that was read.

    Args:
        file: the job file.
        others: files with connections, read as well. They do not change: the same may be given
            with other job files.
        name: what the job must be called; any name when left out.
        sent: whether it was sent by somebody who may only name connections, not define them.

    Raises:
        JobFileError: something is wrong; code `job-name` when it is the name alone.
    """
    others = _shapes_checked(others)
    if sent and "connections" in (file.data or {}):
        what = "a job that is sent may not define any"
        file.report(("connections",), what, _BY_OPERATOR, key=True)
    found, names = _connections(others if sent else [file, *others])
    job = _job(file, found)
    if not any(other.data is None for other in others):
        _check_names(file, names, sent=sent)
    misnamed = _check_job_name(file, name) if name else False
    problems = _problems([file, *others])
    if problems or job is None:
        alone = misnamed and len(problems) == 1
        raise JobFileError(problems, "job-name" if alone else "job-file")
    return Loaded(job, found)


def checked_connections(others: Sequence[Document]) -> dict[str, Connection]:
    """The connections of files that were read.

    Raises:
        JobFileError: something is wrong in them.
    """
    others = _shapes_checked(others)
    found, _ = _connections(others)
    if problems := _problems(others):
        raise JobFileError(problems)
    return found


def text_of(content: bytes, file: str) -> str:
    """What stands in a job file, by its bytes and its name.

    Raises:
        JobFileError: they are not UTF-8.
    """
    try:
        return decoded(content)
    except UnreadableError as e:
        raise JobFileError([problem_of(Path(file), e)]) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a job file with its connections, for editors to complete and check."""
    return {
        # Of the drafts that editors know, the newest that all of them know.
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_WholeFile.model_json_schema(),
    }


class _ConnectionsFile(Definition):
    connections: dict[Name, Any]


class _JobAndConnections(JobFile):
    connections: dict[Name, Any] = Field(default_factory=dict)


class _WholeFile(JobFile):
    """A copy job: what is copied from where to where, how, and when."""

    model_config = ConfigDict(title="copyjob job file")

    connections: dict[Name, Connection] = Field(default_factory=dict)
    """Where to read from and write to, by name; they may also stand in a file of their own."""


def _beside(file: Document) -> list[Path]:
    if file.data is None:
        return []
    found = [file.file.with_name(CONNECTIONS + ending) for ending in ENDINGS]
    return [other for other in found if other.is_file() and other != file.file]


def _shapes_checked(others: Sequence[Document]) -> list[Document]:
    """Copies of files with connections, so that problems are noted in the copies alone."""
    copies = [replace(other, problems=dict(other.problems)) for other in others]
    for other in copies:
        if other.data:
            check(other, (), _ConnectionsFile, other.data)
    return copies


def _problems(documents: Iterable[Document]) -> list[Problem]:
    return [
        problem
        for document in documents
        for problem in sorted(document.problems, key=lambda p: (p.line, p.column))
    ]


def _connections(documents: Sequence[Document]) -> tuple[dict[str, Connection], set[str]]:
    """The connections that hold, and the names of all, those that do not hold included."""
    found: dict[str, Connection] = {}
    where: dict[str, Document] = {}
    for document in documents:
        written = (document.data or {}).get("connections")
        for name, value in written.items() if isinstance(written, dict) else ():
            if name in where:
                what = f"there is a connection of this name in {where[name].file} already"
                document.report(
                    ("connections", name), what, "rename or remove one of them", key=True
                )
                continue
            where[name] = document
            if (connection := _connection(document, name, value)) is not None:
                found[name] = connection
    return found, set(where)


def _connection(document: Document, name: str, value: Any) -> Connection | None:
    place = ("connections", name)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict):
        document.report(place, "must be a mapping with a type")
    elif "type" not in value:
        document.report((*place, "type"), "is missing", f"known: {', '.join(sorted(_OPTIONS))}")
    elif not isinstance(kind, str) or kind not in _OPTIONS:
        fix = nearest(str(kind), _OPTIONS)
        document.report((*place, "type"), "there is no such type of connection", fix)
    elif connection := check(document, place, _OPTIONS[kind], value):
        if isinstance(connection, FileOptions):
            for column, cast_to in connection.types.items():
                if wrong := unknown_type(cast_to):
                    document.report((*place, "types", column), *wrong)
        return cast("Connection", connection)
    return None


_BY_OPERATOR = "the service's operator defines connections, and a job names them"
_HERE_OR_BESIDE = "define it under connections, here or in connections.yaml beside this file"


def _check_names(file: Document, names: set[str], *, sent: bool) -> None:
    for role in ("source", "destination"):
        name = (file.data or {}).get(role)
        if isinstance(name, str) and name and name not in names:
            known = nearest(name, names)
            fix = "; ".join(filter(None, [_BY_OPERATOR, known])) if sent else known
            file.report((role,), f"there is no connection '{name}'", fix or _HERE_OR_BESIDE)


def _check_job_name(file: Document, name: str) -> bool:
    """Whether the job has another name than that under which it is kept."""
    written = (file.data or {}).get("name")
    if not isinstance(written, str) or written == name:
        return False
    file.report(("name",), f"must be '{name}', the name that the job is kept under")
    return True


def _job(file: Document, connections: Mapping[str, Connection]) -> Job | None:
    """The job when its shape is right; its rules are checked as far as the shape allows."""
    if file.data is None:
        return None
    data = file.data
    whole = check(file, (), _JobAndConnections, data)
    # Where the shape is wrong, the rules still hold for the rest.
    right = (whole, range(len(whole.tables))) if whole else _without_faults(file, data)
    source = connections.get(right[0].source)
    # Objects have no columns, and only one thing that tells of a change.
    objects = isinstance(source, FileOptions) and source.format == "binary"
    job = resolve(right[0], FILE_MODIFIED if objects else None)
    tables = dict(zip(right[1], job.tables, strict=False))
    for place, what, fix in [*check_tables(tables, data), *check_schedules(job.schedules)]:
        file.report(place, what, fix)
    return job if whole else None


# Top-level keys that say nothing about tables.
_APART = set(JobFile.model_fields) - set(Settings.model_fields) - {"tables"} | {"connections"}


def _without_faults(file: Document, data: dict[str, Any]) -> tuple[JobFile, list[int]]:
    """A job of what has the right shape, and which tables of the file those are.

    None are, if settings of the job itself are wrong: nobody knows what the tables would inherit.
    """
    broken = {problem.place[:2] for problem in file.problems}
    heads = {place[0] for place in broken if place}
    written = data.get("tables")
    kept: list[int] = []
    if isinstance(written, list) and heads <= _APART | {"tables"}:
        kept = [n for n in range(len(written)) if ("tables", n) not in broken]
    sound = {k: v for k, v in data.items() if k in JobFile.model_fields and k not in heads}
    stand_in = {"name": "job", "source": "source", "destination": "destination"}
    tables = [written[n] for n in kept] if written and kept else [{"source": "table"}]
    return JobFile.model_validate({**stand_in, **sound, "tables": tables}, strict=True), kept

"""Job files that are wrong: exit code 2, each mistake with its line, and nothing is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.badinput.desk import Desk, Ran
from tests.badinput.places import sales

RIGHT = """\
name: job
source: from
destination: to
mode: incremental
tables:
  - source: orders
    incremental_column: v
    columns:
      - id
      - v
      - {name: name, cast: string}
limits: {retries: 0}
connections:
  from: {type: sqlite, path: from.db}
  to: {type: sqlite, path: to.db}
"""


@pytest.fixture
def file(desk: Desk) -> Path:
    """A job file that is right, with rows to copy."""
    desk.source.add(sales(1, 2, 3))
    path = desk.folder / "job.yaml"
    path.write_text(RIGHT)
    return path


def refused(desk: Desk, file: Path) -> str:
    """Asserts that a job file is refused by every command; returns what is said."""
    said = set[str]()
    for command in ("validate", "plan", "run", "status"):
        ran = desk.call(command, str(file))
        assert ran.exit == 2, (command, ran)
        assert ran.out == ""
        assert "Traceback" not in ran.err
        said.add(ran.err)
    assert len(said) == 1
    assert not desk.state.exists()
    assert desk.arrived() == []
    return said.pop()


def copies(desk: Desk, file: Path) -> None:
    """Asserts that a job file is right, and that it copies each row once."""
    file.write_text(RIGHT)
    for _ in range(2):
        ran = desk.call("run", str(file), "--quiet")
        assert ran == Ran(0, "", ""), ran
        assert desk.arrived() == desk.source.rows()


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("source: from", "sorce: from", 2, "did you mean 'source'?"),
        ("incremental_column: v", "incremental_colum: v", 7, "did you mean 'incremental_column'?"),
        ("mode: incremental", "mode: incrementel", 4, "did you mean 'incremental'?"),
        ("mode: incremental", "mode: incremental\nwrite: merge", 5, "'upsert'"),
        ("{name: name,", "{nam: name,", 11, "did you mean 'name'?"),
        ("cast: string", "cast: strng", 11, "string"),
        ("retries: 0", "retrys: 0", 12, "did you mean 'retries'?"),
        ("retries: 0", "retries: -1", 12, "0"),
        ("retries: 0", "retries: many", 12, "not text"),
        ("source: from", "source: form", 2, "did you mean 'from'?"),
        ("destination: to", "destination: elsewhere", 3, "there is no connection 'elsewhere'"),
        ("from: {type: sqlite,", "from: {type: sqlit,", 14, "did you mean 'sqlite'?"),
        ("path: to.db", "pth: to.db", 15, "did you mean 'path'?"),
        ("path: to.db", "path: 7", 15, "quotes"),
        ("{type: sqlite, path: to.db}", "to.db", 15, "mapping"),
        ("name: job", "name: my job", 1, "name"),
        ("name: job", "name: job\nname: jab", 2, "first on line 1"),
        ("    incremental_column: v\n", "", 6, "incremental_column"),
        ("tables:", "tables: [", 6, "not valid YAML"),
        ("  - source: orders", "\t- source: orders", 6, "a tab"),
        ("path: to.db", "path: '${env:}'", 15, "${env:NAME}"),
        ("      - id\n", "      - id\n      - id\n", 10, "chosen already"),
        ("mode: incremental", "mode: incremental\nlookback: 1h", 5, "upsert"),
        ("mode: incremental", "mode: incremental\nlookback: soon", 5, "lookback"),
        ("mode: incremental", "mode: incremental\nschedules: [{cron: '* *'}]", 5, "2 fields"),
    ],
)
def test_a_mistake_is_shown_at_its_line(
    desk: Desk, file: Path, old: str, new: str, line: int, says: str
) -> None:
    assert RIGHT.count(old) == 1
    file.write_text(RIGHT.replace(old, new))
    said = refused(desk, file)
    at_line = [each for each in said.splitlines() if each.startswith(f"{file}:{line}:")]
    assert at_line, said
    assert says in " ".join(at_line), said
    copies(desk, file)


# Each name stands for eight of the one before: a billion values in a few lines.
BOMB = b"a: &a 1\n" + b"".join(
    b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 8)) for n in range(97, 107)
)


def test_every_mistake_is_shown_at_once(desk: Desk, file: Path) -> None:
    wrong = RIGHT.replace("name: job", "nam: job").replace("retries", "retrys")
    file.write_text(wrong.replace("to.db", "to.db, mode: rw").replace("source: from", "source: x"))
    shown = refused(desk, file).splitlines()
    lines = [int(each.removeprefix(f"{file}:").split(":")[0]) for each in shown]
    assert lines == [1, 1, 2, 12, 15]
    copies(desk, file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"# only words\n", "the file is empty"),
        (b"- a\n- b\n", "mapping"),
        (b"words", "mapping"),
        (b"\x00\x01\x02", ""),
        (b"PAR1\xff\xfe\x15\x04", "UTF-8"),
        (b"SQLite format 3\x00\x10\x00", ""),
        ("name: Ü".encode("utf-16"), "UTF-8"),
        (b"a: &a [*a]\n", ""),
        (b"a: " + b"[" * 5000, ""),
        (BOMB, ""),
        (b"!!python/object/apply:os.system ['echo owned']", ""),
    ],
    ids=[
        *("empty", "comment", "list", "text", "nulls", "parquet", "sqlite", "utf16"),
        *("loop", "deep", "bomb", "python"),
    ],
)
def test_a_file_that_is_no_job(desk: Desk, file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    said = refused(desk, file)
    assert said.startswith(str(file)), said
    assert says in said, said
    assert len(said) < 2000
    copies(desk, file)


def test_a_job_file_that_is_no_file(desk: Desk, file: Path) -> None:
    for path, says in [
        (desk.folder, "a folder"),
        (desk.folder / "none.yaml", "no such file"),
        (file / "below", "cannot be read"),
        (desk.folder / ("x" * 300), "cannot be read"),
    ]:
        said = refused(desk, path)
        assert str(path) in said
        assert says in said
    copies(desk, file)


def test_a_file_of_connections_that_is_wrong(desk: Desk, file: Path) -> None:
    others = desk.folder / "connections.yaml"
    others.write_text("connections:\n  to: {type: sqlite, path: x.db}\n  b: {type: dleta}\n")
    said = refused(desk, file)
    assert f"{others}:2:" in said
    assert f"{others}:3:" in said
    assert "did you mean 'delta'?" in said
    ran = desk.call("run", str(file), "--connections", str(desk.folder / "none.yaml"))
    assert ran.exit == 2
    assert "none.yaml" in ran.err
    others.unlink()
    copies(desk, file)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_table_that_the_job_lacks(desk: Desk, file: Path, command: str) -> None:
    ran = desk.call(command, str(file), "--table", "ordrs")
    assert ran.exit == 2, ran
    assert "table ordrs" in ran.err
    assert "Did you mean orders?" in ran.err
    assert desk.arrived() == []
    copies(desk, file)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run"], "JOBFILE"),
        (["rnu", "JOB"], "rnu"),
        (["run", "JOB", "--tabel", "orders"], "--table"),
        (["reset", "JOB"], "--all"),
        (["reset", "JOB", "--all", "--table", "orders"], "--all"),
        (["reset", "JOB", "--all"], "--yes"),
        (["reset", "JOB", "--table", "ordrs", "--yes"], "Did you mean orders?"),
        (["status", "JOB", "--run", "none"], "copyjob status"),
        (["status", "JOB", "--limit", "0"], "--limit"),
    ],
)
def test_a_command_that_is_wrong(desk: Desk, file: Path, args: list[str], says: str) -> None:
    copies(desk, file)
    before = desk.state.read_bytes()
    ran = desk.call(*(str(file) if each == "JOB" else each for each in args))
    assert ran.exit == 2, ran
    assert says in ran.err, ran.err
    assert desk.state.read_bytes() == before
    copies(desk, file)


def test_one_bad_table_holds_up_no_other(desk: Desk, file: Path) -> None:
    two = RIGHT.replace("tables:", "tables:\n  - {source: ordres, incremental_column: v}")
    file.write_text(two)
    ran = desk.call("run", str(file))
    assert ran.exit == 1, ran
    assert "there is no table ordres" in ran.err
    assert "Did you mean orders?" in ran.err
    assert desk.arrived() == desk.source.rows()
    copies(desk, file)

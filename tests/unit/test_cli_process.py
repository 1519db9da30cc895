"""The command line as a process: what it imports, and how signals and pipes end it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from copy_core.state import lease, tables
from copy_core.state.sqlite import SqliteStateStore


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file."""
    growing = {"source": "growing", "mode": "incremental", "incremental_column": "changed"}
    job = {
        "name": "trial",
        "source": "here",
        "destination": "there",
        "connections": {name: {"type": "memory", "name": name} for name in ("here", "there")},
        "tables": [{"source": "whole", "write": "overwrite"}, growing],
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    return path


@pytest.fixture
def state(job: Path) -> Iterator[SqliteStateStore]:
    """Where the job's state is."""
    with SqliteStateStore(job.parent / ".copyjob" / "state.db") as store:
        yield store


def test_help_needs_no_library_of_a_connector() -> None:
    heavy = ["adbc_driver_manager", "azure", "cronsim", "deltalake", "duckdb", "pyarrow",
             "pydantic", "rich", "yaml"]  # fmt: skip
    code = (
        "import sys; from copy_core.cli import main; main(['--help'], standalone_mode=False);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# A source that hands out one batch after the other, or waits for ever in the midst of its first.
ENDLESS = """
import sys, threading
import pyarrow as pa
from copy_core.cli import main
from copy_core.connectors import memory

class Source(memory.MemorySource):
    reading = False

    def read(self, part, batch_rows):
        self.reading = True
        try:
            print("reading", flush=True)
            while True:
                if sys.argv[1] == "stuck":
                    threading.Event().wait()
                yield from super().read(part, batch_rows)
                threading.Event().wait(0.001)
        finally:
            self.reading = False

    def close(self):
        if self.reading:
            print("closed while it is read", flush=True)

memory.store("here").put("whole", pa.table({"id": [1]}))
memory.store("here").put("growing", pa.table({"id": [1], "changed": [1]}))
memory.MemorySource = Source
main(["run", sys.argv[2]])
"""


@pytest.fixture
def endless(job: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that does not end by itself, once it reads."""
    yield from _start("endless", job)


@pytest.fixture
def stuck(job: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that waits for its source for ever."""
    yield from _start("stuck", job)


def _start(how: str, job: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ENDLESS, how, str(job)]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    child: subprocess.Popen[str]
    with subprocess.Popen(command, **both) as child:  # type: ignore[call-overload]  # by keyword
        for _ in range(2):  # Both tables: one that is not planned yet would not be pending.
            _wait_for("reading", child)
        yield child
        child.kill()


def _wait_for(what: str, child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if what in line:
            return
    pytest.fail(f"it ended without saying '{what}'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_cleanly(
    number: signal.Signals, endless: "subprocess.Popen[str]", state: SqliteStateStore
) -> None:
    endless.send_signal(number)
    output, _ = endless.communicate()
    assert endless.returncode == 130
    assert "stopping" in output
    assert "2 cancelled" in output
    assert "closed while it is read" not in output
    assert lease.holder_of(state, "trial") is None
    pending = tables.load(state, "trial", "whole")[0].pending
    assert pending is not None


def test_a_second_signal_kills(stuck: "subprocess.Popen[str]") -> None:
    stuck.send_signal(signal.SIGINT)
    _wait_for("stopping", stuck)
    while True:
        stuck.send_signal(signal.SIGINT)
        try:
            stuck.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    assert stuck.returncode == -signal.SIGINT


def test_a_pipe_that_is_closed_early_is_no_error() -> None:
    command = [sys.executable, "-m", "copy_core.cli", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""

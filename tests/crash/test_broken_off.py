"""A run that is broken off from within its process leaves the process alive."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.children import ROOT

# A slow machine is no broken promise.
pytestmark = pytest.mark.timeout(900)

# What a second Ctrl-C leaves behind: the source is closed while the thread that reads ahead, which
# nobody waits for any more, is within its library.
BROKEN_OFF = """
import sys
from copy_core.connectors.options import SqliteOptions
from copy_core.connectors.registry import open_source
from copy_core.errors import CopyJobError
from copy_core.model import Slice
from copy_core.pipe import read_ahead

for _ in range(20):
    source = open_source(SqliteOptions(type="sqlite", path=sys.argv[1]))
    batches = read_ahead(source.read(Slice(object="t", columns=("id",)), 20_000), 1 << 30)
    next(batches)
    source.close()
    try:
        list(batches)
    except CopyJobError:
        pass
print("alive")
"""


def test_a_sqlite_file_is_closed_while_a_thread_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000)"
        made.execute(f"INSERT INTO t {numbers} SELECT i FROM n")
    command = [sys.executable, "-c", BROKEN_OFF, str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr

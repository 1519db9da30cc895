"""A run of tests in which a planted secret turns up fails, wherever that is; others do not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from hypothesis import given
from hypothesis import strategies as st

from copy_core.state.azure_tables import AzureTablesStateStore
from tests import servers, stored
from tests.planted import MARK, found, planted, planted_key
from tests.s3 import s3_client

ROOT = Path(__file__).parents[2]
CONFTEST = """
import pytest
from tests import leaks

def pytest_configure(config):
    config.pluginmanager.register(leaks, "leaks")
    leaks.hear_answers()
"""
TESTS = """
import logging
import subprocess
import sys

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from copy_core.cli import main
from copy_core.errors import ConfigError
from copy_core.state.sqlite import SqliteStateStore
from copy_core.web.app import create_app
from copy_core.web.security import TokenGuard
from tests.planted import planted

SECRET = {secret}
TOKEN = "a-token-of-the-innocent"

def no_service():
    raise ConfigError("the setting is " + SECRET)

def into_file(folder):
    (folder / "file.txt").write_text("x" + SECRET)

def into_wide_file(folder):
    (folder / "file.txt").write_text("x" + SECRET, "utf-16")

def into_state(folder):
    with SqliteStateStore(folder / "state.db") as store:
        store.put("p", "k", dict(url="x?key=" + SECRET))

def into_log(folder):
    logging.getLogger("copyjob").error("it is %s", SECRET)

def into_fields_of_a_log(folder):
    logging.getLogger("azure").error("failed", extra=dict(why=SECRET))

def into_output(folder):
    print(SECRET)

def into_errors(folder):
    print(SECRET, file=sys.stderr)

def into_answer(folder):
    client = TestClient(create_app(no_service, TokenGuard(TOKEN)))
    client.get("/api/jobs", headers=dict(Authorization="Bearer " + TOKEN))

def by_process(folder):
    told = "print(" + repr(SECRET) + ")"
    subprocess.run([sys.executable, "-c", told], capture_output=True, check=True)

def by_command(folder):
    CliRunner().invoke(main, ["validate", SECRET])

LEAKS = [each for name, each in globals().items() if name.startswith(("into_", "by_"))]

@pytest.mark.parametrize("leak", LEAKS)
def test_it(leak, tmp_path):
    leak(tmp_path)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the run that this test is of does not look into."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run(folder: Path, secret: str, *options: str) -> tuple[int, str]:
    """Runs tests that hand a secret around; returns the exit code, and what was said."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS.replace("{secret}", secret))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", str(folder), "--basetemp", str(folder / "temp"), *options),
            str(folder / "test_it.py"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "with workers"])
def test_a_run_that_leaks_fails_and_tells_where(options: tuple[str, ...], folder: Path) -> None:
    code, said = run(folder, "planted('x')", *options)
    before, _, told = said.partition("planted secrets have leaked")
    assert code == pytest.ExitCode.TESTS_FAILED, said
    ways = set(re.findall(r"^def ((?:into|by)_\w+)", TESTS, re.MULTILINE))
    assert {way for way in ways if way in told} == ways, told
    assert f"{len(ways)} passed" in told
    assert "FAILED" not in before
    assert MARK not in said


def test_what_is_no_planted_secret_may_be_anywhere(folder: Path) -> None:
    code, said = run(folder, "'another secret'")
    assert code == 0, said
    assert "leaked" not in said


def test_what_the_servers_hold_is_looked_at(folder: Path) -> None:
    """They are its own, or the whole run would fail."""
    root, secret = folder / "session", planted("x")
    with servers.session(root):
        azurite, s3 = servers.azurite(root), s3_client(servers.localstack(root).endpoint)
        account = BlobServiceClient.from_connection_string(azurite.connection_string)
        with closing(s3), account as blobs:
            blobs.create_container("box").upload_blob("blob", b"innocent")
            s3.create_bucket(Bucket="bucket")
            assert list(stored.leaked(root)) == []
            blobs.get_blob_client("box", "another").upload_blob(f"it is {secret}")
            s3.put_object(Bucket="bucket", Key="object", Body=f"it is {secret}")
        state = AzureTablesStateStore.from_connection_string(azurite.connection_string)
        with state as store:
            store.put("p", "k", {"url": f"x?key={secret}"})
        # Azurite writes its tables down every few seconds: then the row is in a file as well.
        hits = (where for where, _ in stored.leaked(root))
        places = sorted(where for where in hits if "__azurite_db_table__" not in where)
    assert [place.split()[1] for place in places] == ["object", "row", "servers'"]


# Forms


@given(before=st.binary(max_size=7), after=st.binary(max_size=7), name=st.text("ab-", max_size=9))
def test_a_secret_is_found_in_every_form(before: bytes, after: bytes, name: str) -> None:
    secret = planted(name)
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        data = before + secret.encode(encoding) + after
        assert found(data)
        assert found(b64encode(data))
    assert found((before + secret.encode() + after).hex().encode())


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_key_is_planted_as_it_is_written(size: int) -> None:
    assert found(planted_key(size).encode())


def test_other_things_are_not_found() -> None:
    assert not found(b"a secret that was planted")

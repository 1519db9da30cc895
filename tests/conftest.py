"""What all tests share: the storage servers, and how much Hypothesis tries."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from copy_core import entra
from tests import leaks, servers, stored

# Loaded machines are slow at times, so no deadlines. CI tries the same examples each time: a red
# build is then about the change, and new examples are found at the desk.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Tests reach this machine alone: where virtual machines ask who they are, nobody answers.
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:9"
os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"

_root = pytest.StashKey[Path]()
_session = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden files be written, and crash tests take their time."""
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew (tests/golden)"
    )
    parser.addoption(
        "--every-point", action="store_true", help="kill runs between stores at every point"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Open the session of servers in the controller; its workers join it. Look out for leaks."""
    config.pluginmanager.register(leaks, "leaks")
    if hasattr(config, "workerinput"):
        servers.die_with_parent()  # or it would first finish the test that it is at
        config.stash[_root] = Path(config.workerinput["servers"])
    else:
        config.stash[_root] = Path(tempfile.mkdtemp(prefix="copyjob-tests-"))
        config.stash[_session] = ExitStack()
        config.stash[_session].enter_context(servers.session(config.stash[_root]))
        leaks.also(config, lambda: stored.leaked(config.stash[_root]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the session is."""
    node.workerinput["servers"] = str(node.config.stash[_root])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the session: its servers have ended when this returns."""
    if _session in config.stash:
        config.stash[_session].close()


@pytest.fixture(autouse=True)
def _signed_out() -> Iterator[None]:
    """No credential is kept for the next test."""
    yield
    entra.identity.cache_clear()


@pytest.fixture(scope="session")
def azurite(pytestconfig: pytest.Config) -> Iterator[servers.Azurite]:
    """Azurite, one for all workers: use names of your own. delta-rs in this process finds it."""
    server = servers.azurite(pytestconfig.stash[_root])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(server.BLOB_URL_VARIABLE, server.blob_origin)
        yield server


@pytest.fixture(scope="session")
def localstack(pytestconfig: pytest.Config) -> servers.LocalStack:
    """LocalStack's S3, one for all workers: use bucket names of your own."""
    return servers.localstack(pytestconfig.stash[_root])

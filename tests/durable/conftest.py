"""Sites for the tests: each is stopped in the end, whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.durable.gate import Gate
from tests.durable.gate import gate as gate_before
from tests.durable.proxy import Proxy
from tests.durable.site import Site

MakeSite = Callable[..., Site]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with these: a few take minutes each, and would be waited for at the end."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here not in item.path.parents)


@pytest.fixture
def make_site(tmp_path: Path, azurite: servers.Azurite) -> Iterator[MakeSite]:
    """Makes sites; see `Site` for what may be given."""
    with ExitStack() as stack:

        def make(*flags: str, **more: Any) -> Site:
            folder = tmp_path / f"site{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            site = Site(folder, azurite, *flags, **more)
            stack.callback(site.stop)
            site.start()
            return site

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site that behaves as Azure does on a good day; its timer only fires when told to."""
    return make_site("--no-timers")


@pytest.fixture
def gate(azurite: servers.Azurite) -> Iterator[Gate]:
    """What a site's lake may be behind of; see `Gate.environment`."""
    with gate_before(azurite) as gate:
        yield gate


@pytest.fixture
def proxy(azurite: servers.Azurite) -> Iterator[Proxy]:
    """What a site's state may be behind of; see `Proxy.environment`."""
    with Proxy(azurite) as proxy:
        yield proxy

"""What the crash tests share."""

from collections.abc import Iterator

import pytest

from tests.crash.children import Children

_STORES = [f"copy_core.connectors.files.stores.{each}" for each in ("s3", "azure")]

pytest.register_assert_rewrite("tests.crash.play")


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    with Children("tests.crash.store_places", *_STORES) as children:
        yield children

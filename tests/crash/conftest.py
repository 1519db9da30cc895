"""What the crash tests share."""

from collections.abc import Iterator

import pytest

from tests.crash.children import Children

pytest.register_assert_rewrite("tests.crash.play")


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    with Children() as children:
        yield children

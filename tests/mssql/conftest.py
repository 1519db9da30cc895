"""What the live tests share; without a server they fail rather than pass for nothing."""

from collections.abc import Iterator

import pytest

from tests.crash.children import Children
from tests.mssql.server import Databases, lacks, named
from tests.mssql.server import databases as opened

pytest.register_assert_rewrite("tests.crash.play")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests of names that the server lacks. SQL Server lacks none."""
    tables, columns = (_parameters(items, kind) for kind in ("odd_table", "odd_column"))
    server = named()
    if server is None or not (tables or columns):
        return
    no_tables = lacks(server, tables=set(tables.values()))
    no_columns = lacks(server, columns=set(columns.values()))
    left = {item for item, name in tables.items() if name in no_tables}
    left |= {item for item, name in columns.items() if name in no_columns}
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]


def _parameters(items: list[pytest.Item], name: str) -> dict[pytest.Item, str]:
    calls = ((item, getattr(item, "callspec", None)) for item in items)
    return {item: call.params[name] for item, call in calls if call and name in call.params}


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    try:
        with opened() as made:
            yield made
    except LookupError as e:
        pytest.exit(str(e), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def children(databases: Databases) -> Iterator[Children]:
    """Processes that can be killed; they inherit what `databases` puts into the environment."""
    del databases
    with Children("copy_core.connectors.sql.mssql", "tests.mssql.places") as children:
        yield children

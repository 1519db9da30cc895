"""The golden kit: it can fail, and writes files only when it is told to."""

from pathlib import Path

import pytest

from copy_core.connectors.sql.text import bind
from tests.golden.kit import Golden

GOOD = [
    "SELECT CONVERT(varchar(33), [at], 126) FROM [dbo].[t] WHERE [at] > CAST(? AS datetime2(7))",
    "SET XACT_ABORT ON",
    "SET IDENTITY_INSERT [dbo].[a]].b] ON;",
    "SET TRANSACTION ISOLATION LEVEL SNAPSHOT",
    "INSERT INTO [dbo].[t] WITH (TABLOCK) ([id]) SELECT [id] FROM [dbo].[s]",
    "UPDATE t SET t.[a] = s.[a] FROM [t] AS t WITH (UPDLOCK) INNER JOIN [s] AS s ON s.[b] = t.[b]",
    "EXEC sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Transaction'",
]
BAD = [
    "SELECT FROM WHERE",
    "SELECT [id] FROM [dbo].[t] WHERE ([id] = 1",
    "INSERT INTO [dbo].[t] WITH TABLOCK ([id]) SELECT 1",
    "PRAGMA foreign_keys = ON",
    "SELEC 1",
]


@pytest.mark.parametrize("statement", GOOD)
def test_a_statement_is_held_against_its_file(tmp_path: Path, statement: str) -> None:
    Golden(tmp_path, update=True)("folder/name", statement)
    Golden(tmp_path, update=False)("folder/name", statement)
    with pytest.raises(AssertionError, match="--update-golden"):
        Golden(tmp_path, update=False)("folder/name", statement, "SELECT 1")


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize("statement", BAD)
def test_what_is_no_t_sql_is_refused(tmp_path: Path, statement: str, *, update: bool) -> None:
    (tmp_path / "name.sql").write_text(f"{statement};\n")
    with pytest.raises(AssertionError, match=r"^name (is no tsql|has a statement)"):
        Golden(tmp_path, update=update)("name", statement)


def test_a_missing_file_is_no_agreement(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not exist yet"):
        Golden(tmp_path, update=False)("name", "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_several_statements_and_their_values_are_read_in_their_order(tmp_path: Path) -> None:
    second = "SELECT [a] FROM [t] WHERE [b] = " + bind("it's") + " AND [c] = " + bind(2)
    Golden(tmp_path, update=True)("both", "SET NOCOUNT ON;", second)
    assert (tmp_path / "both.sql").read_text() == (
        "SET NOCOUNT ON;\nSELECT [a] FROM [t] WHERE [b] = ? AND [c] = ?;\n"
        '-- ? = "it\'s"\n-- ? = 2\n'
    )

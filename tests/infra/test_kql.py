"""Every Kusto query that is deployed or shown is one, and asks for what is there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.infra.tables import TABLES

ROOT = Path(__file__).parents[2]
CHECKER = Path(__file__).parent / "kql.mjs"
PARSER = ROOT / ".tools/kusto/node_modules/@kusto/language-service-next"


def faults(queries: list[str]) -> list[list[str]]:
    """What is wrong with each query."""
    assert PARSER.exists(), "the Kusto parser is not installed: run `make setup`"
    asked = json.dumps({"tables": TABLES, "queries": queries})
    done = subprocess.run(
        ["node", CHECKER], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [[f"line {f['line']}: {f['message']}" for f in each] for each in json.loads(done.stdout)]


def shown() -> dict[str, str]:
    """The queries by where they are."""
    found = {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for path in sorted(ROOT.glob("infra/**/*.kql"))
    }
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        text = page.read_text("utf-8")
        for block in re.finditer(r"^```kusto\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 1
            found[f"{page.relative_to(ROOT)}:{line}"] = block[1]
    return found


def test_every_query_is_understood() -> None:
    queries = shown()
    assert len(queries) > 5
    wrong = dict(zip(queries, faults([*queries.values()]), strict=True))
    assert {place: why for place, why in wrong.items() if why} == {}


def test_what_is_wrong_with_a_query_is_told() -> None:
    unknown = "does not refer to any known column, table, variable or function."
    wrong = {
        "AppMetrics\n| wher Name == 'a'": "line 2: Query operator expected.",
        "AppMetric": f"line 1: The name 'AppMetric' {unknown}",
        "AppMetrics\n| summarize\n  max(valueMax)": f"line 3: The name 'valueMax' {unknown}",
        "AppMetrics | summarize max(Sum) by Properties.job": "line 1: The value of type 'dynamic'",
    }
    for told, expected in zip(faults([*wrong]), wrong.values(), strict=True):
        assert told[0].startswith(expected)

"""docs/faults.md names tests that exist, and names every test of the served instance's faults."""

from __future__ import annotations

import ast
import re

from tests.support.paths import REPOSITORY

_ROW = re.compile(r"^\| (?P<fault>[^|]+) \|[^|]+\|[^|]+\| `(?P<path>[\w/]+\.py)::(?P<name>\w+)` \|$", re.MULTILINE)


def functions_in(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_each_fault_has_its_test_and_each_test_its_row() -> None:
    page = (REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = list(_ROW.finditer(page))
    assert len(rows) == len([line for line in page.splitlines() if line.startswith("| ")]) - 1
    for row in rows:
        assert row["name"] in functions_in(row["path"]), row["fault"]
    named = {row["name"] for row in rows}
    unnamed = functions_in("tests/integration/serving/test_faults.py") - named
    # What the clock does to stopwatches nobody sees.
    assert unnamed == {"test_times_of_stages_dont_go_back_with_the_clock"}

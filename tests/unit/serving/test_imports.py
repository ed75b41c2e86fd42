"""Inside `serving`, imports go one way: no module imports another that imports it back, not even for type checking."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.paths import REPOSITORY


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in (REPOSITORY / "serving").rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of `serving` that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(MODULES)


IMPORTS = {name: imported(path) - {name} for name, path in MODULES.items()}


def reachable(start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = IMPORTS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_no_module_is_part_of_an_import_circle() -> None:
    assert [name for name in sorted(MODULES) if name in reachable(name)] == []


def test_scoring_uses_versions_and_versions_use_trials_but_not_the_other_way_round() -> None:
    layers = ["serving.trials", "serving.versions", "serving.scoring"]
    upward = [
        (name, used)
        for i, lower in enumerate(layers)
        for name in MODULES
        if name.startswith(lower)
        for used in IMPORTS[name]
        if used.startswith(tuple(layers[i + 1 :]))
    ]
    assert upward == []


def test_the_check_sees_imports_of_every_kind() -> None:
    assert "serving.trials.trials" in IMPORTS["serving.scoring.scorer"]
    assert "serving.http.problems" in IMPORTS["serving.http.middleware"]

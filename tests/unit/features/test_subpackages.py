"""The modules and the sub-packages of `features` import each other in one direction."""

from __future__ import annotations

import ast
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path
    for path in (REPOSITORY / "features").rglob("*.py")
    if path.name != "__init__.py"
}


def imported(path: Path) -> set[str]:
    """The modules of `features` that a module imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return found & MODULES.keys()


def subpackage(module: str) -> str:
    """`features.online` for a module in it; the module itself at the top level."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("name", [str, subpackage])
def test_imports_have_no_circle(name: Callable[[str], str]) -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = {name(other) for other in imported(path)} - {name(module)}
        graph.setdefault(name(module), set()).update(others)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports form a circle: {' → '.join(error.args[1])}")
    assert any(graph.values())

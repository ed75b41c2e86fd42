"""The parts of training build on each other in one direction, so none of them imports a later one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

# From the first to the last; a part may import those before it.
LAYERS = (
    ("config", "progress"),
    ("data", "behaviour"),
    ("fit",),
    ("report",),
    ("gate",),
    ("lifecycle",),
    ("workspace",),
    ("build",),
    ("train", "tune", "own_model"),
)


def imports(package: str = "training") -> Iterator[tuple[str, str]]:
    """Each module of the package with each module of the package that it imports, also inside functions.

    Imports for type checkers only don't count.
    """
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    is_module = (REPOSITORY / Path(*name.split("."))).with_suffix(".py").exists()
                    yield module, name if is_module else node.module


def statements(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from statements(child)


def part(module: str) -> str:
    return module.split(".")[1]


def test_parts_import_only_earlier_ones() -> None:
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    edges = {(part(module), part(other)) for module, other in imports() if part(module) != part(other)}
    assert [(one, other) for one, other in sorted(edges) if rank[other] >= rank[one]] == []


def test_every_part_has_its_place() -> None:
    found = {path.stem for path in (REPOSITORY / "training").glob("*.py")} - {"__init__"}
    found |= {path.parent.name for path in (REPOSITORY / "training").glob("*/__init__.py")}
    assert found == {name for layer in LAYERS for name in layer}


@pytest.mark.parametrize("package", ["training", "models"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    graph: dict[str, set[str]] = {}
    for module, other in imports(package):
        graph.setdefault(module, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")

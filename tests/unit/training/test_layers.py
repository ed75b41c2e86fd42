"""The parts of training build on each other in one direction, so none of them imports a later one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.paths import REPOSITORY

# From the first to the last; a part may import those before it.
LAYERS = (
    ("config", "contracts", "evidence", "joining", "origin", "progress"),
    ("data", "behaviour"),
    ("fingerprint", "fit"),
    ("report",),
    ("gate",),
    ("lifecycle",),
    ("workspace",),
    ("build",),
    ("train", "tune", "own_model", "encoder"),
)
TRAINING = REPOSITORY / "training"


def imports() -> Iterator[tuple[str, str]]:
    """Each part, a sub-package or a module at the top, with each other part that it imports."""
    for path in sorted(TRAINING.rglob("*.py")):
        part = path.relative_to(TRAINING).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "training":
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from ((part, other) for name in names if (other := name.split(".")[1]) != part)


def test_parts_import_only_earlier_ones() -> None:
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    assert sorted({(part, other) for part, other in imports() if rank[other] >= rank[part]}) == []


def test_every_part_has_its_place() -> None:
    found = {path.stem for path in TRAINING.glob("*.py")} - {"__init__"}
    found |= {path.parent.name for path in TRAINING.glob("*/__init__.py")}
    assert found == {name for layer in LAYERS for name in layer}

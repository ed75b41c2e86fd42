"""Who may import whom, that no imports form a circle, and what serving's request path must never load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

# What each package may import besides itself. `cli` is the application: it puts all of them together.
KERNEL = {"leads", "leads_client"}
LIBRARIES = {"leads_client", "leads", "features", "models", "training", "serving", "monitoring", "simulation"}
ALLOWED: dict[str, set[str]] = {
    "leads_client": set(),
    "leads": {"leads_client"},
    "features": KERNEL,
    "models": KERNEL | {"features"},
    "training": KERNEL | {"features", "models"},
    "serving": KERNEL | {"features", "models"},
    "monitoring": KERNEL | {"features", "models"},
    "simulation": KERNEL,
    "cli": LIBRARIES,
    "benchmarks": LIBRARIES | {"cli"},
}
HEAVY = ("mlflow", "feast", "pandas", "sklearn", "evidently", "matplotlib")
REQUEST_PATH = (
    "serving.scoring.scorer",
    "serving.queue.queue",
    "serving.queue.decisions",
    "serving.versions.published",
    "models.version",
    "features.online.reader",
    "leads.predictions.log",
    "leads.db.event_log",
    "leads.db.keys",
    # No request needs it, but it runs beside the processes that answer them, in the same image.
    "monitoring.running.watching",
)


def folder_of(package: str) -> Path:
    return REPOSITORY / "clients" / "python" / package if package == "leads_client" else REPOSITORY / package


@cache
def modules() -> dict[str, Path]:
    """Every module of every package by its dotted name."""
    found = {}
    for package in ALLOWED:
        for path in sorted(folder_of(package).rglob("*.py")):
            inside = path.relative_to(folder_of(package).parent).with_suffix("")
            found[".".join(part for part in inside.parts if part != "__init__")] = path
    return found


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The dotted names that are imported anywhere in the module, also inside functions, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@cache
def imported_by(path: Path) -> list[tuple[str, int]]:
    return list(imported(ast.parse(path.read_text(encoding="utf-8"))))


def violations(names: Iterable[tuple[str, int]], package: str) -> list[tuple[str, int]]:
    forbidden = set(ALLOWED) | {"tests", "notebooks"}
    forbidden -= ALLOWED[package] | {package}
    return [(top, line) for name, line in names if (top := name.partition(".")[0]) in forbidden]


@cache
def graph() -> dict[str, set[str]]:
    """The modules that each module imports."""
    known = modules()
    edges: dict[str, set[str]] = {name: set() for name in known}
    for module, path in known.items():
        for name, _ in imported_by(path):
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != module:
                edges[module].add(target)
    return edges


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """One circle of imports, its first node again at the end; empty when there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def subpackage(module: str) -> str | None:
    """`features.online` for `features.online.redis`; None for a module that lies in no sub-package."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else None


def test_every_package_is_looked_at() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert packages | {"leads_client"} == set(ALLOWED)
    assert {name.partition(".")[0] for name in modules()} == set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_rule(package: str) -> None:
    found = {
        module: broken
        for module, path in modules().items()
        if module.partition(".")[0] == package and (broken := violations(imported_by(path), package))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("leads", "import features"),
        ("leads", "import cli.app"),
        ("leads", "def f():\n    from models.version import load"),
        ("leads_client", "from leads import clock"),
        ("training", "import serving.queue as q"),
        ("serving", "from cli.ui import terminal"),
        ("simulation", "from features import layout"),
        ("serving", "if TYPE_CHECKING:\n    from monitoring import drift"),
    ],
)
def test_the_rule_finds_what_breaks_it(package: str, source: str) -> None:
    assert len(violations(imported(ast.parse(source)), package)) == 1


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(graph()) == []


def test_no_sub_packages_import_each_other_in_a_circle() -> None:
    """Modules at a package's top are left out: some are its vocabulary, others put its sub-packages together."""
    between: dict[str, set[str]] = {}
    for module, targets in graph().items():
        own = subpackage(module)
        if own is not None:
            between.setdefault(own, set()).update(
                other for target in targets if (other := subpackage(target)) is not None and other != own
            )
    assert len(between) > 20
    assert circle(between) == []


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()})) == {"b", "c"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


# Refuses what serving's image doesn't hold; XGBoost takes some of it where it is installed and does without elsewhere.
WITHOUT_HEAVY = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", REQUEST_PATH)
def test_the_request_path_does_without_the_heavy_ones(module: str) -> None:
    check = f"{WITHOUT_HEAVY}\nimport {module}"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.slow
def test_the_heavy_ones_are_really_absent() -> None:
    check = f"{WITHOUT_HEAVY}\nimport monitoring.drift.measure, pandas"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert "No module named 'pandas'" in loaded.stderr


@pytest.mark.slow
def test_an_api_process_loads_none_of_the_heavy_ones(tmp_path: Path) -> None:
    """Whatever is installed: XGBoost takes scikit-learn, and with it pandas, where it finds it."""
    check = (
        "import sys\nfrom serving.instance.api import leave_out_scikit_learn\nleave_out_scikit_learn()\n"
        f"import serving.service\nprint(*[name for name in {HEAVY!r} if sys.modules.get(name)])"
    )
    env = {**os.environ, "LEADS_HOME": str(tmp_path)}
    loaded = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False, env=env
    )
    assert (loaded.returncode, loaded.stdout.split()) == (0, []), loaded.stderr


def test_the_command_line_starts_light() -> None:
    check = f"import sys, cli.app; print(*[n for n in (*{HEAVY!r}, 'numpy', 'sqlalchemy') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=True)
    assert loaded.stdout.split() == []


def test_the_client_starts_light() -> None:
    names = (*HEAVY, "numpy", "sqlalchemy", "pyarrow", "pydantic", "pydantic_settings", "fastapi", "yaml")
    check = (
        f"import sys, leads_client; leads_client.Client; print(*[name for name in {names!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=True)
    assert loaded.stdout.split() == []

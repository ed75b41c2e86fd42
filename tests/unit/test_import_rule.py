"""Who may import whom, and what serving's request path must never load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

ALLOWED = {
    "leads": set(),
    "features": {"leads"},
    "models": {"leads", "features"},
    "training": {"leads", "features", "models"},
    "serving": {"leads", "features", "models"},
    "monitoring": {"leads", "features", "models"},
    "simulation": {"leads"},
}
# They put the packages together, and import inside functions.
EXEMPT = {Path("leads") / f"{name}.py" for name in ("cli", "cli_models", "cli_training", "demo", "demo_screens")}
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
)


def modules() -> list[Path]:
    return sorted(
        path.relative_to(REPOSITORY)
        for package in ALLOWED
        for path in (REPOSITORY / package).rglob("*.py")
        if path.relative_to(REPOSITORY) not in EXEMPT
    )


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The packages that are imported, anywhere in the module, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def violations(source: str, package: str) -> list[tuple[str, int]]:
    siblings = set(ALLOWED) | {"benchmarks", "tests", "notebooks"}
    forbidden = siblings - ALLOWED[package] - {package}
    return [(name, line) for name, line in imported(ast.parse(source)) if name in forbidden]


def test_every_package_is_looked_at() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages == {*ALLOWED, "benchmarks"}
    assert {path.parts[0] for path in modules()} == set(ALLOWED)


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_follow_the_rule(path: Path) -> None:
    assert violations((REPOSITORY / path).read_text(encoding="utf-8"), path.parts[0]) == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("leads", "import features"),
        ("leads", "def f():\n    from models.version import load"),
        ("training", "import serving.queue.queue as q"),
        ("simulation", "from features import rows"),
        ("serving", "if TYPE_CHECKING:\n    from monitoring import drift"),
    ],
)
def test_the_rule_finds_what_breaks_it(package: str, source: str) -> None:
    assert len(violations(source, package)) == 1


def test_the_exempt_import_siblings_only_inside_functions() -> None:
    for path in EXEMPT:
        if not (REPOSITORY / path).exists():
            continue
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        assert {name for name, _ in imported(top)}.isdisjoint(set(ALLOWED) - {"leads"}), path


# Refuses what serving's image doesn't hold; XGBoost takes some of it where it is installed and does without elsewhere.
WITHOUT_HEAVY = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("module", REQUEST_PATH)
def test_the_request_path_does_without_the_heavy_ones(module: str) -> None:
    check = f"{WITHOUT_HEAVY}\nimport {module}"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert loaded.returncode == 0, loaded.stderr


def test_the_heavy_ones_are_really_absent() -> None:
    check = f"{WITHOUT_HEAVY}\nimport monitoring.drift.report, pandas"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert "No module named 'pandas'" in loaded.stderr


def test_the_command_line_starts_light() -> None:
    check = f"import sys, cli.app; print(*[n for n in (*{HEAVY!r}, 'numpy', 'sqlalchemy') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=True)
    assert loaded.stdout.split() == []


def test_the_client_starts_light() -> None:
    names = (*HEAVY, "numpy", "sqlalchemy", "pyarrow", "pydantic", "pydantic_settings", "fastapi", "yaml")
    check = f"import sys, leads_client; print(*[name for name in {names!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=True)
    assert loaded.stdout.split() == []

"""What must never get into the project's files: this machine, registries, data sets, print, pickle."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

PACKAGES = ("leads", "features", "models", "training", "serving", "monitoring", "simulation", "cli", "clients/python")
# Written in pieces, so that this file passes its own test.
MACHINE = re.compile("|".join(("/wor" + "k/", "/ro" + "ot/", "/ho" + "me/[a-z]", r"\.librar" + "y/")))
REGISTRY = re.compile(
    "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "--index" + "-url", "registry" + r"\.npm"))
)
DATA = {".csv", ".tsv", ".parquet", ".jsonl", ".db", ".pkl", ".joblib", ".npz"}


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.decode().split("\0") if name and (path := REPOSITORY / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path.relative_to(REPOSITORY), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_no_file_names_this_machine() -> None:
    assert [str(path) for path, text in texts() if MACHINE.search(text)] == []


def test_no_file_names_a_registry() -> None:
    # The one allowed mention is the flag that keeps addresses out of the lock file.
    found = [str(path) for path, text in texts() if REGISTRY.search(text.replace("--no-emit-index" + "-url", ""))]
    assert found == []


def test_no_data_is_tracked() -> None:
    assert [str(path) for path in tracked() if path.suffix in DATA] == []


def library(*words: str) -> list[tuple[Path, ast.AST]]:
    """The files that contain any of these words: parsing the others would only take time."""
    said = re.compile(rf"\b({'|'.join(words)})\b")
    paths = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return [(path.relative_to(REPOSITORY), ast.parse(text)) for path, text in texts if said.search(text)]


def test_library_code_prints_nothing_and_ends_no_process() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in library("print", "exit", "quit", "_exit")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in {"print", "exit", "quit"})
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "_exit")
        )
    ]
    assert found == []


def test_nothing_is_pickled() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in library("pickle", "joblib", "cloudpickle", "allow_pickle")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(a.name in {"pickle", "joblib", "cloudpickle"} for a in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module in {"pickle", "joblib", "cloudpickle"})
        or (isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False")
    ]
    assert found == []


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


def test_no_folder_is_crowded() -> None:
    counted = Counter(path.parent.relative_to(REPOSITORY) for path in tracked() if path.suffix == ".py")
    assert {str(folder): files for folder, files in counted.items() if files > 15} == {}


def test_no_file_edits_the_import_path() -> None:
    edits = re.compile(r"^\s*sys\.path(\.(insert|append|extend)\(|\[?:?\]? *\+?= )", re.MULTILINE)
    found = [str(path) for path, text in texts() if path.suffix in (".py", ".ipynb") and edits.search(text)]
    # It runs a saved model's own code, and nothing of this checkout, in a process of its own.
    assert found == ["tests/integration/training/test_portable.py"]


def test_no_tests_are_grouped_beyond_their_files() -> None:
    """The files are what workers are given. Groups would be ignored, and what they share made once for each worker."""
    mark = "xdist" + "_group"
    assert [str(path) for path, text in texts() if path.suffix == ".py" and mark in text] == []

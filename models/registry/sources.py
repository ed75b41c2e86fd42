"""Copies the source files that a module needs into a package of their own, so that a registered version carries them.

The copy's imports are renamed to it. So a version scores with the code that it was registered with, also in a process
that has another release installed, and never hides the installed one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("leads_client", "leads", "features", "models")
_PREFIX = "lead_serving"
_IMPORT = re.compile(rf"^(\s*(?:from|import) )({'|'.join(PACKAGES)})(?=[. ])", re.MULTILINE)


class Copied(NamedTuple):
    """A module with its imports renamed, and the folder of the package that these now lead to."""

    module: Path
    package: Path


def copy_needed(module: Path, into: Path) -> Copied:
    """Copy a module to the folder `into`, and all that it needs to a package next to it.

    The package is named by a hash of its content, so different releases of it can be in one process.
    """
    files = needed_by(module)
    digest = hashlib.sha256()
    for below, path in sorted(files.items()):
        digest.update(str(below).encode() + b"\0" + path.read_bytes())
    name = f"{_PREFIX}_{digest.hexdigest()[:8]}"
    for below, path in files.items():
        _copy(path, into / name / below, name)
    (into / name / "__init__.py").write_text('"""What Lead Serving needs to score with this version."""\n')
    _copy(module, into / module.name, name)
    return Copied(into / module.name, into / name)


@contextmanager
def importable(copied: Copied) -> Iterator[None]:
    """Let the package be imported inside the block, and forget it afterwards: its folder may be temporary.

    Compiled modules aren't written: they would be saved with the package.
    """
    before = set(sys.modules)
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    if copied.package.name not in before:
        spec = spec_from_file_location(copied.package.name, copied.package / "__init__.py")
        assert spec is not None
        sys.modules[copied.package.name] = module_from_spec(spec)
    try:
        yield
    finally:
        sys.dont_write_bytecode = compiled
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == copied.package.name:
                del sys.modules[name]


def needed_by(module: Path) -> dict[Path, Path]:
    """The files of our packages that a file imports, directly or through others, by their path below `sys.path`.

    Imports inside functions count; those that only type checkers follow don't.
    """
    roots = {name: _folder(name) for name in PACKAGES}
    needed: dict[Path, Path] = {}
    waiting = [module]
    while waiting:
        for name in _imports(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            for path in _files(name, roots):
                below = path.relative_to(roots[name.partition(".")[0]].parent)
                if below not in needed:
                    needed[below] = path
                    waiting.append(path)
    return needed


def _copy(path: Path, to: Path, package: str) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8")
    to.write_text(_IMPORT.sub(rf"\g<1>{package}.\g<2>", text), encoding="utf-8")


def _files(name: str, roots: dict[str, Path]) -> Iterator[Path]:
    """The file of a module, and those of the packages it is in; of a name in a module, the module's."""
    top, *inner = name.split(".")
    if top not in roots:
        return
    folder = roots[top]
    yield folder / "__init__.py"
    for part in inner:
        if (folder / f"{part}.py").is_file():
            yield folder / f"{part}.py"
            return
        folder = folder / part
        if not folder.is_dir():
            return
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _imports(child)


def _folder(package: str) -> Path:
    (folder,) = importlib.import_module(package).__path__
    return Path(folder)

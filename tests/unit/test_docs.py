"""The pages point at files, sections and functions that exist, and their examples of events are valid."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from leads.api.event_lines import parse_line
from tests.support.declared import DECLARED
from tests.support.paths import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "clients" / "python" / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MAP = REPOSITORY / "docs" / "architecture.md"
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# A path in a page's code: a folder ends with a slash, a file may be followed by the name of something in it.
_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|yaml|md)))(?:::([\w.]+))?`")


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in _HEADING.findall(prose(page))
    }


def names_in(path: Path) -> Iterator[str]:
    """Classes, functions, methods and constants of a module, as `Class.method`."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, _FUNCTIONS))
        elif isinstance(node, _FUNCTIONS):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in _LINK.findall(prose(page)):
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_named_function_exists(page: Path) -> None:
    named = [(path, name) for path, name in _PATH.findall(prose(page)) if name]
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (REPOSITORY / path).is_file() or name not in set(names_in(REPOSITORY / path))
    ]
    assert missing == []


def test_the_map_names_folders_and_files_that_exist() -> None:
    places = {path for path, _ in _PATH.findall(prose(MAP)) if "/" in path}
    assert {path for path in places if not (REPOSITORY / path).exists()} == set()


def test_the_map_has_a_row_for_every_package() -> None:
    table = prose(MAP).partition("## Packages")[2].partition("## Where a change goes")[0]
    packages = {
        f"{path.parent.relative_to(REPOSITORY)}/"
        for package in ("leads", "features", "models", "training", "serving", "monitoring", "simulation", "cli")
        for path in (REPOSITORY / package).rglob("__init__.py")
    }
    # It holds nothing but its two parts.
    packages.remove("monitoring/")
    assert packages <= {path for path, _ in _PATH.findall(table)}


def test_the_glossary_defines_each_term_once() -> None:
    terms = re.findall(r"^### (.+)$", prose(REPOSITORY / "docs" / "glossary.md"), re.MULTILINE)
    assert len(terms) == len({term.lower() for term in terms})


def test_the_files_of_events_that_are_shown_can_be_ingested() -> None:
    text = (REPOSITORY / "docs" / "event-files.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert [parse_line(line.encode(), DECLARED).of_api for line in lines] == [True] * 4 + [False] * 4

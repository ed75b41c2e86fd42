"""What users read contains none of the idioms that make prose sound translated."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

from tests.support.paths import REPOSITORY

# What to write instead. Each pattern must leave honest uses alone: `HONEST` below has some.
IDIOMS = {
    r"no such": "X not found",
    r"(?<!there )(?:is|are|was|were) none(?! of)": "not a valid X",
    r"(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|better\b|worse\b|match\b)[a-z]+": "is not a X, is not valid",
    r"mend(?:s|ed|ing)?": "fix",
    r"shall": "must",
    r"bear(?:s|ing)?|borne": "have",
    r"so (?:many|long|often|much|few)(?! that\b)(?! as\b)": "at most N, for N seconds",
    r"the former": "the previous X",
    r"the (?:ones?|answer|version|champion|page) before": "the previous X",
    r"(?:be|is|are|was|were) told(?: of)?|tells? of|told of": "receive, report",
    r"keeps? (?:its|their) word|kept (?:its|their) word": "is calibrated",
    r"surely": "significantly",
    r"only (?:measures?|measured)": "held out",
    r"learns? from|learned from": "is trained on",
    r"on screen": "shown",
    r"(?:version|model|canary|champion|challenger)s?(?: …)?(?: that)?(?: should| still)? answers?": "serves, predicts",
    r"(?:says?|said|knows?|known|speaks?) of": "says about",
    r"c[ao]mes? to be|anew|thereof|hitherto|lest": "everyday words",
    r"turned away": "rejected",
    r"stands there|spoils?": "is reported there, affects",
}
_FIND = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in IDIOMS), re.IGNORECASE)
# Python writes it like that, and means None.
_NONE = re.compile(r"\b(?:is|are) None\b")

HONEST = (
    "There is no API key. There are none.",
    "This is no longer needed.",
    "Returns the rows if the value is None.",
    "The model's answers are logged.",
    "So long as it runs, waits are so long that callers give up.",
    "The bearer token, the barrel and the forebear.",
    "An amended file. Recommended. Marshalled.",
    "The day before, and one before the last.",
)
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "clients" / "python" / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "notebooks").glob("*.ipynb")),
    REPOSITORY / "leads" / "policies.yaml",
]
PACKAGES = [
    "leads",
    "features",
    "models",
    "training",
    "serving",
    "monitoring",
    "simulation",
    "cli",
    "benchmarks",
    "clients/python/leads_client",
]
# Here users read docstrings too: in the commands' help, and as descriptions of the API's schemas.
_SHOWN_DOCSTRINGS = re.compile(r"^cli/\w+\.py$|^clients/python/leads_client/schemas/")


class _Text(ast.Constant):
    value: str


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def idioms_in(text: str) -> list[str]:
    """The idioms in a text, each with a few characters around it."""
    plain = " ".join(_NONE.sub("is empty", text).split())
    return [plain[max(0, hit.start() - 30) : hit.end() + 30] for hit in _FIND.finditer(plain)]


def literals_in(source: str, *, docstrings: bool) -> Iterator[tuple[int, str]]:
    """Line and text of each literal of several words: messages, remedies, help, log lines, headings, descriptions."""
    tree = ast.parse(source)
    documented: set[ast.AST] = set()
    parts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            (first, *_) = node.body
            assert isinstance(first, ast.Expr)
            if not docstrings or isinstance(node, ast.Module):
                documented.add(first.value)
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            yield (
                node.lineno,
                "".join(str(getattr(part, "value", "")) if _is_text(part) else "…" for part in node.values),
            )
        elif _is_text(node) and node not in parts | documented and " " in node.value.strip():
            yield node.lineno, node.value


def _is_text(node: ast.AST) -> TypeGuard[_Text]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def prose_in(page: Path) -> str:
    """What a page says, without its code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    if page.suffix == ".yaml":
        return " ".join(re.findall(r"#(.*)$", text, re.MULTILINE))
    return re.sub(r"`[^`\n]+`", "`…`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def found_in_module(path: Path, root: Path = REPOSITORY) -> list[str]:
    name = path.relative_to(root).as_posix()
    literals = literals_in(path.read_text(encoding="utf-8"), docstrings=bool(_SHOWN_DOCSTRINGS.search(name)))
    return [f"{name}:{line}: …{hit}…" for line, text in literals for hit in idioms_in(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_pages_are_in_plain_english(page: Path) -> None:
    assert idioms_in(prose_in(page)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_are_in_plain_english(package: str) -> None:
    modules = sorted((REPOSITORY / package).rglob("*.py"))
    assert modules
    assert [hit for path in modules for hit in found_in_module(path)] == []


@pytest.mark.parametrize(
    "text",
    [
        "There is no such lead.",
        "NaN is none.",
        "This is no rate.",
        "Mend the file.",
        "It shall serve.",
        "Each bears on one harm.",
        "So many seconds.",
        "The former champion, or the one before.",
        "Tell of plays.",
        "Its scores don't keep their word.",
        "The version that answers for spam.",
        "Version … still answers.",
        "The fifth that only measures.",
        "What the model learns from.",
    ],
)
def test_the_finder_finds_each_idiom(text: str) -> None:
    assert idioms_in(text)


@pytest.mark.parametrize("text", HONEST)
def test_the_finder_leaves_honest_uses_alone(text: str) -> None:
    assert idioms_in(text) == []


def test_the_finder_reads_every_kind_of_text(tmp_path: Path) -> None:
    module = tmp_path / "cli" / "planted.py"
    module.parent.mkdir()
    module.write_text(
        '"""A module\'s docstring shall not count."""\n'
        'def command(x: Annotated[int, typer.Option(help="So many rows.")]) -> None:\n'
        '    """Mend the log."""\n'
        '    _log.warning("%s is no rate", x)\n'
        '    table.add_column("No such thing")\n'
        '    raise NotFound(f"{x} is none.", remedy="Use the "\n'
        '        "former one before.")\n'
    )
    assert [hit.split(":")[1] for hit in sorted(found_in_module(module, tmp_path))] == ["2", "3", "4", "5", "6", "6"]
    notebook = tmp_path / "planted.ipynb"
    cells = [{"cell_type": "markdown", "source": ["It shall\n", "run."]}, {"cell_type": "code", "source": ["shall"]}]
    notebook.write_text(json.dumps({"cells": cells}))
    page = tmp_path / "planted.md"
    page.write_text("Use it so\nmany times. `no such`\n\n```\nmend\n```\n")
    comments = tmp_path / "planted.yaml"
    comments.write_text("key: 1  # the limit that shall\n#   hold\n")
    assert [len(idioms_in(prose_in(path))) for path in (notebook, page, comments)] == [1, 1, 1]

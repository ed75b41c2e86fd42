"""What a run of the serving benchmark writes into the docs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pages import Grid, markers
from benchmarks.report import at_most, unmeasured
from benchmarks.serving.docs import PART, write_docs

BEGIN, END = markers(PART)


def test_only_what_lies_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Before\n\n{BEGIN}\nearlier run\n{END}\n\nbehind\n", encoding="utf-8")
    measures = [at_most("memory", 9, "MB", 5), unmeasured("speed", "ms")]
    for _ in range(2):
        write_docs([Grid("Times", ("system", "1 item"), [("Redis", "1.5")])], measures, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nbehind\n")
    assert "earlier run" not in text
    assert text.count("| Redis | 1.5 |") == 1
    assert "| memory | 9 MB | ≤ 5 | **no** |" in text
    assert "| speed | failed ms |  | **no** |" in text


def test_a_page_without_markers_gets_them(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Page\n", encoding="utf-8")
    write_docs([], [], page)
    assert page.read_text(encoding="utf-8").startswith(f"# Page\n\n{BEGIN}\n")

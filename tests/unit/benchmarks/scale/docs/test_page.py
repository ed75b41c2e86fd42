"""What a run of the scale benchmark writes into the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pages import markers
from benchmarks.scale.docs import chart
from benchmarks.scale.docs import page as docs
from leads.errors import Unavailable
from tests.support.scale_run import MEASURES

PAGE = "# Scale\n\n{}\nearlier\n{}\n\nbetween\n\n{}\nearlier\n{}\n\nbehind\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "scale.md"
    path.write_text(PAGE.format(*markers(docs.MEASURED), *markers(docs.ESTIMATED)), encoding="utf-8")
    return path


def test_a_run_fills_both_parts_of_the_page(page: Path) -> None:
    for _ in range(2):
        docs.write_docs(MEASURES, page, quick=False)
    text = page.read_text(encoding="utf-8")
    assert "earlier" not in text
    assert text.startswith("# Scale\n\n<!-- measured:begin -->\nEvent log:\n")
    assert text.endswith("<!-- estimated:end -->\n\nbehind\n")
    measured, estimated = text.split("\nbetween\n")
    assert measured.count("| 1,000,000 events: folded | 15,000 events/s | ≥ 12000 | yes |") == 1
    assert measured.index("Generated items:") < measured.index("| 1,000,000 items: state | 350 bytes/item |")
    assert "| event log: cost of folding an event, exponent | 0.15 | ≤ 0.1 | **no** |" in measured
    assert "| events/s, mean | 13,600 | 1.18 × 10⁹ / 86,400 s |" in estimated
    assert "--quick" not in text


def test_the_page_says_that_it_is_of_a_quick_run(page: Path) -> None:
    docs.write_docs(MEASURES, page, quick=True)
    assert page.read_text(encoding="utf-8").count("**From a `--quick` run on a shared machine.**") == 2


def test_a_run_without_what_the_estimates_need_leaves_the_page_alone(page: Path) -> None:
    before = page.read_text(encoding="utf-8")
    with pytest.raises(Unavailable):
        docs.write_docs(MEASURES[:3], page, quick=False)
    assert page.read_text(encoding="utf-8") == before


def test_the_docs_page_has_the_markers() -> None:
    text = docs.DOCS.read_text(encoding="utf-8")
    for name in (docs.MEASURED, docs.ESTIMATED):
        begin, end = markers(name)
        assert text.count(begin) == text.count(end) == 1


@pytest.mark.slow
def test_the_same_measures_give_the_same_chart(tmp_path: Path) -> None:
    drawn = []
    for name in ("a.svg", "b.svg"):
        chart.draw(MEASURES, tmp_path / "images" / name)
        drawn.append((tmp_path / "images" / name).read_bytes())
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(b"<?xml")

"""What a run of the serving benchmark concludes and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.report import at_most
from benchmarks.serving.docs import BEGIN, END, write_docs
from benchmarks.serving.soak import slope_of
from benchmarks.serving.stages import WHOLE, Spent, added, read_stages, since, us_per_request
from benchmarks.serving.tables import Grid

METRICS = """\
# TYPE leads_stage_seconds histogram
leads_stage_seconds_sum{{stage="lookup"}} {0}
leads_stage_seconds_count{{stage="lookup"}} {1}
leads_http_request_seconds_sum{{route="/v1/score"}} 4.0
leads_http_request_seconds_count{{route="/v1/score"}} 2.0
leads_http_request_seconds_count{{route="/v1/leads"}} 9.0
"""


def test_stages_are_what_was_spent_in_between() -> None:
    before, after = (read_stages(METRICS.format(seconds, calls)) for seconds, calls in ((1.0, 10), (1.5, 30)))
    assert after == {"lookup": Spent(1.5, 30), WHOLE: Spent(4.0, 2.0)}
    spent = since(before, after)
    assert us_per_request(added(spent, spent), 40) == {"lookup": 25_000.0}
    assert read_stages("") == {}


def test_the_slope_has_a_lower_bound_that_follows_the_noise() -> None:
    rng = np.random.default_rng(3)
    requests = np.arange(120) * 500.0
    wandering = np.convolve(rng.normal(0, 1, 129), np.ones(10) / 10, "valid")
    slope, lower = slope_of(requests, 300 + wandering)
    assert lower < 0 < slope - lower
    slope, lower = slope_of(requests, 300 + 2e-4 * requests + wandering)
    assert 0 < lower < slope < 3e-4


def test_only_what_lies_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Before\n\n{BEGIN}\nearlier run\n{END}\n\nbehind\n", encoding="utf-8")
    for _ in range(2):
        write_docs([Grid("Times", ("system", "1 item"), [("Redis", "1.5")])], [at_most("memory", 9, "MB", 5)], page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nbehind\n")
    assert "earlier run" not in text
    assert text.count("| Redis | 1.5 |") == 1
    assert "| memory | 9 MB | ≤ 5 | **no** |" in text


def test_a_page_without_markers_gets_them(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Page\n", encoding="utf-8")
    write_docs([], [], page)
    assert page.read_text(encoding="utf-8").startswith(f"# Page\n\n{BEGIN}\n")

"""Plots say something, also about few rows, and are left out if they wouldn't."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from models.scores import Scores
from models.thresholds import Thresholds
from tests.support.training.scripted import CONTRACT, HARM
from training.evidence import evidence
from training.report import evaluate
from training.report.measure import Metrics, OnTest
from training.report.paired import Interval
from training.report.plots.draw import draw
from training.report.slices import Slice

pytestmark = pytest.mark.slow

THRESHOLDS = Thresholds(0.3, 0.9, {})


class Explained:
    """A version whose inputs contribute what it is told."""

    harm = HARM
    thresholds = THRESHOLDS
    contract = CONTRACT

    def __init__(self, *contributions: float) -> None:
        self.input_names = tuple(f"item.input_{i}" for i in range(len(contributions)))
        self._contributions = contributions

    def contributions(self, vector: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([*self._contributions, 0.1]), (len(vector), 1))


def held_out(n: int, share: float) -> OnTest:
    random = np.random.default_rng(1)
    labels = np.arange(n) < round(n * share)
    scores = np.clip(random.beta(0.5, 4, n) + 0.4 * labels, 0.001, 0.999)
    groups = np.arange(n, dtype=np.uint64)
    return OnTest(Scores(np.zeros((n, 1), np.float32), np.zeros(n), scores), labels, groups, np.arange(n))


def metrics_of(test: OnTest, *slices: Slice) -> Metrics:
    counted = evidence(test.labels, test.groups)
    found = evaluate.evaluate(test.scores.score, test.labels, test.groups, THRESHOLDS, seed=1)
    return Metrics(len(test.labels), 1, None, 1, counted, counted, counted, found, {}, slices)


def slice_of(value: str, **given: Any) -> Slice:
    share = Interval(0.2, 0.1, 0.3)
    return replace(Slice("type", value, 50, 50, 10, None, 0.8, 0.03, 0.9, 0.25, share, False, ""), **given)


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def drawn(folder: Path, version: Explained, test: OnTest, *slices: Slice) -> dict[str, Path]:
    paths = draw(folder, version, test, metrics_of(test, *slices))  # type: ignore[arg-type]
    return {path.name: path for path in paths}


def test_all_plots_of_a_usual_version(tmp_path: Path) -> None:
    slices = [
        slice_of("comment", auc=Interval(0.8, 0.7, 0.9)),
        slice_of("a $ and 日本 " + "x" * 90, behind=True),
        slice_of("few", roc_auc=None),
    ]
    found = drawn(tmp_path, Explained(0.5, 0.2, 0.1), held_out(400, 0.2), *slices)
    assert sorted(found) == ["importances.png", "precision_recall.png", "reliability.png", "scores.png", "slices.png"]
    assert all(path.stat().st_size > 5_000 for path in found.values())


@pytest.mark.parametrize(("n", "share"), [(12, 0.1), (25, 0.5), (400, 0.005)])
def test_few_rows_and_few_positives_are_drawn(tmp_path: Path, n: int, share: float) -> None:
    assert {"precision_recall.png", "reliability.png", "scores.png"} <= set(
        drawn(tmp_path, Explained(0.5, 0.2), held_out(n, share))
    )


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_curve_needs_rows_of_both_kinds(tmp_path: Path, share: float) -> None:
    assert sorted(drawn(tmp_path, Explained(0.5), held_out(30, share))) == ["reliability.png", "scores.png"]


def test_a_single_bar_or_slice_is_left_out(tmp_path: Path) -> None:
    found = drawn(tmp_path, Explained(0.5, 0.0), held_out(60, 0.5), slice_of("comment"))
    assert not {"importances.png", "slices.png"} & set(found)


def test_bars_and_slices_are_equally_high_in_every_plot(tmp_path: Path) -> None:
    few = drawn(tmp_path, Explained(*[0.5] * 2), held_out(60, 0.5), *(slice_of(str(i)) for i in range(2)))
    heights = [size(few[name])[1] for name in ("importances.png", "slices.png")]
    many = drawn(tmp_path, Explained(*[0.5] * 40), held_out(60, 0.5), *(slice_of(str(i)) for i in range(60)))
    grown = [size(many[name])[1] for name in ("importances.png", "slices.png")]
    assert max(heights) < 300
    # 15 bars and 24 slices at most.
    assert [round((after - before) / 120 / 0.27) for before, after in zip(heights, grown, strict=True)] == [13, 22]

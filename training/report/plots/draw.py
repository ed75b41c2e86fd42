"""Draws a version's plots on its held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.version import ModelVersion
from training.report.measure import Metrics, OnTest
from training.report.plots import of_parts, of_scores
from training.report.plots.canvas import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EXPLAINED_ROWS = 500


def draw(folder: Path, version: ModelVersion, test: OnTest, metrics: Metrics) -> tuple[Path, ...]:
    """Write a version's plots to `folder` as PNG files; returns their paths.

    A plot that would show nothing is left out: a curve without rows of both kinds, or a comparison of a single bar.
    """
    harm, evaluation, starts = version.harm, metrics.test, version.thresholds
    drawn: list[Path] = []

    def add(name: str, fill: Callable[[Figure], None], *, width: float = 6.4, height: float = 4.8) -> None:
        drawn.append(png(folder / name, fill, width=width, height=height))

    if test.labels.any() and not test.labels.all():
        add("precision_recall.png", lambda figure: of_scores.precision_recall(figure, harm, test, evaluation))
    if len(test.labels):
        add("reliability.png", lambda figure: of_scores.reliability(figure, harm, test, evaluation, starts))
        add("scores.png", lambda figure: of_scores.by_label(figure, harm, test, starts))
    inputs = of_parts.largest(_importances(version, test))
    if len(inputs) > 1:
        height = of_parts.height(len(inputs))
        add("importances.png", lambda figure: of_parts.importances(figure, harm, inputs), height=height)
    slices = of_parts.chosen(metrics.slices)
    if len(slices) > 1:
        height = of_parts.height(len(slices))
        add("slices.png", lambda figure: of_parts.by_slice(figure, harm, slices), width=9.0, height=height)
    return tuple(drawn)


def _importances(version: ModelVersion, test: OnTest) -> dict[str, float]:
    """The mean absolute contribution of each input to the margin, in log-odds."""
    parts = np.abs(version.contributions(test.scores.vector[:_EXPLAINED_ROWS])).mean(axis=0)
    return dict(zip(version.input_names, parts[:-1].tolist(), strict=True))

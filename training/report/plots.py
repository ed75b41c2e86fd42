"""Plots of a version: precision and recall, reliability, and feature importances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.thresholds import Thresholds
from models.version import ModelVersion
from training.report.calibration import reliability
from training.report.evaluate import Evaluation
from training.report.measure import OnTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_BLUE, _ORANGE, _GREY, _INK = "#2563eb", "#d97706", "#9ca3af", "#111827"
_BARS = 15
_EXPLAINED_ROWS = 500


def draw(folder: Path, version: ModelVersion, test: OnTest, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write three PNG plots of a version on its held-out rows to `folder`; returns their paths."""
    harm, scores, labels, thresholds = version.harm, test.scores.score, test.labels, version.thresholds
    # Mean absolute contribution of each input to the margin, in log-odds.
    parts = np.abs(version.contributions(test.scores.vector[:_EXPLAINED_ROWS])).mean(axis=0)
    importances = dict(zip(version.input_names, parts[:-1].tolist(), strict=True))
    return (
        _png(folder / "precision_recall.png", lambda axes: _precision_recall(axes, harm, scores, labels, evaluation)),
        _png(folder / "reliability.png", lambda axes: _reliability(axes, harm, scores, labels, evaluation, thresholds)),
        _png(folder / "importances.png", lambda axes: _importances(axes, harm, importances)),
    )


def _png(path: Path, fill: Callable[[Any], None]) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_INK, length=3)
    axes.set_axisbelow(True)
    fill(axes)
    figure.savefig(path)
    return path


def _title(axes: Axes, title: str, below: str) -> None:
    room = "\n" * (1 + below.count("\n"))
    axes.set_title(title + room, loc="left", fontsize=12, fontweight="bold", color=_INK)
    axes.text(0, 1.02, below, transform=axes.transAxes, fontsize=9, color="#4b5563")


def _precision_recall(axes: Axes, harm: str, scores: Doubles, labels: Bools, evaluation: Evaluation) -> None:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores)
    share = evaluation.evidence.positives / evaluation.evidence.rows
    # The curve's last point, at recall 0, is a convention, not a measurement.
    axes.step(recall[:-1], precision[:-1], where="post", color=_BLUE, linewidth=2)
    axes.axhline(share, color=_GREY, linewidth=1, linestyle="--")
    axes.text(0.01, share + 0.01, "chance", fontsize=8, color="#4b5563")
    for tier in evaluation.tiers:
        if tier.precision is not None and tier.recall is not None:
            at = (tier.recall.found, tier.precision.found)
            axes.plot(*at, "o", color=_ORANGE, markersize=7)
            label = f"{tier.tier} ≥ {tier.threshold:.2f}"
            right = tier.recall.found > 0.7
            axes.annotate(
                label,
                at,
                (-8 if right else 8, 6),
                textcoords="offset points",
                fontsize=9,
                ha="right" if right else "left",
            )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.05), xlabel="recall", ylabel="precision")
    axes.grid(color="#e5e7eb", linewidth=0.6)
    below = evaluation.evidence.text()
    if evaluation.ap is not None:
        below = f"average precision {evaluation.ap.text()}\n{below}"
    _title(axes, f"{harm}: precision and recall", below)


def _reliability(
    axes: Axes, harm: str, scores: Doubles, labels: Bools, evaluation: Evaluation, thresholds: Thresholds
) -> None:
    bins = reliability(scores, labels)
    claimed, found, sizes = (np.array(values) for values in zip(*bins, strict=True))
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    spread = 1.96 * np.sqrt(np.maximum(claimed * (1 - claimed), 1e-6) / sizes)
    axes.errorbar(
        claimed, found, yerr=spread, fmt="o", color=_BLUE, ecolor="#93c5fd", elinewidth=2, markersize=5, capsize=0
    )
    for start in (thresholds.review, thresholds.auto):
        if start is not None:
            axes.axvline(start, color=_ORANGE, linewidth=1, alpha=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="mean score", ylabel="share violating")
    axes.grid(color="#e5e7eb", linewidth=0.6)
    below = "15 bins of equal size; vertical lines: tiers"
    if evaluation.ece is not None and evaluation.chance is not None:
        below = f"ECE {evaluation.ece.text()}; {evaluation.chance.text()}\n{below}"
    _title(axes, f"{harm}: reliability", below)


def _importances(axes: Axes, harm: str, importances: Mapping[str, float]) -> None:
    used = [(name, value) for name, value in importances.items() if value > 0]
    largest = sorted(used, key=lambda pair: pair[1])[-_BARS:]
    names, values = [name for name, _ in largest], [value for _, value in largest]
    axes.barh(names, values, color=_BLUE, height=0.7)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.set_xlabel("mean absolute contribution, log-odds")
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.6)
    _title(axes, f"{harm}: feature importances", "on held-out rows")

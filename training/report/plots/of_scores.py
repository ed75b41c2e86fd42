"""Plots of a version's scores on the held-out rows: precision and recall, reliability, and the scores by label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.thresholds import Thresholds
from training.report import paired
from training.report.calibration import ECE_BINS
from training.report.evaluate import Evaluation
from training.report.measure import OnTest
from training.report.plots.canvas import BLUE, GREY, LIGHT_BLUE, ORANGE, SECOND, spread, styled, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bools = npt.NDArray[np.bool_]

# The fewest rows of a point in the reliability diagram. Points of fewer would have intervals that say nothing.
_ROWS_OF_A_POINT = 10
_BARS = 40


def precision_recall(figure: Figure, harm: str, test: OnTest, evaluation: Evaluation) -> None:
    """The precision-recall curve, with the tiers on it and their intervals."""
    from sklearn.metrics import precision_recall_curve

    axes = styled(figure.add_subplot())
    precision, recall, _ = precision_recall_curve(test.labels, test.scores.score)
    share = float(test.labels.mean())
    # The curve's last point, at recall 0, is a convention, not a measurement.
    axes.step(recall[:-1], precision[:-1], where="post", color=BLUE, linewidth=2)
    axes.axhline(share, color=GREY, linewidth=1, linestyle="--")
    axes.text(0.01, share + 0.01, f"random order: {share:.3f}", fontsize=8, color=SECOND)
    for tier in evaluation.tiers:
        if tier.precision is None or tier.recall is None:
            continue
        x, y = tier.recall, tier.precision
        axes.errorbar(x.found, y.found, xerr=spread(x), yerr=spread(y), fmt="o", color=ORANGE, elinewidth=1)
        right = x.found > 0.7
        label = f"{tier.tier}: from {tier.threshold:.2f}, {tier.rows:,} rows"
        axes.annotate(
            label,
            (x.found, y.found),
            (-8 if right else 8, 6),
            textcoords="offset points",
            fontsize=9,
            ha="right" if right else "left",
        )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.05), xlabel="recall", ylabel="precision")
    below = evaluation.evidence.text()
    if evaluation.ap is not None:
        below = f"average precision {evaluation.ap.text()}\n{below}"
    title(axes, f"{harm}: precision and recall", below)


def reliability(figure: Figure, harm: str, test: OnTest, evaluation: Evaluation, thresholds: Thresholds) -> None:
    """The share of violating rows against the mean score, in bins of equal size, and how many rows have which score."""
    scores = test.scores.score
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes = styled(upper)
    bins = int(np.clip(len(scores) // _ROWS_OF_A_POINT, 1, ECE_BINS))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    for part in np.array_split(np.argsort(scores, kind="stable"), bins):
        found = paired.share(test.labels[part], test.groups[part])
        if found is not None:
            axes.errorbar(
                scores[part].mean(),
                found.found,
                yerr=spread(found),
                fmt="o",
                color=BLUE,
                ecolor=LIGHT_BLUE,
                elinewidth=2,
            )
    _tiers((axes, lower), thresholds)
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.05), ylabel="share violating")
    below = f"{bins} points of {len(scores) // bins:,} rows or one more, with 95% intervals; vertical lines: tiers"
    if evaluation.ece is not None and evaluation.chance is not None:
        below = f"ECE {evaluation.ece.text()}; {evaluation.chance.text()}\n{below}"
    title(axes, f"{harm}: reliability", below)
    _histogram(styled(lower), scores, GREY)
    lower.set(yscale="log", xlabel="score", ylabel="rows")


def by_label(figure: Figure, harm: str, test: OnTest, thresholds: Thresholds) -> None:
    """How many violating rows, and how many others, have which score. Each kind has its own scale."""
    both = figure.subplots(2, 1, sharex=True)
    kinds = (("violating", test.labels, ORANGE), ("others", ~test.labels, BLUE))
    for axes, (name, inside, color) in zip(both, kinds, strict=True):
        _histogram(styled(axes), test.scores.score[inside], color)
        axes.set(ylabel=f"{name}, rows")
        axes.yaxis.get_major_locator().set_params(integer=True)
    _tiers(both, thresholds)
    both[1].set(xlim=(0, 1), xlabel="score")
    n = int(test.labels.sum())
    title(both[0], f"{harm}: scores by label", f"{n:,} violating and {len(test.labels) - n:,} others; lines: tiers")


def _histogram(axes: Axes, scores: npt.NDArray[np.float64], color: str) -> None:
    axes.hist(scores, bins=np.linspace(0, 1, _BARS + 1).tolist(), color=color, rwidth=0.9)


def _tiers(all_axes: tuple[Axes, ...] | npt.NDArray[np.object_], thresholds: Thresholds) -> None:
    for start in (thresholds.review, thresholds.auto):
        if start is not None:
            for axes in all_axes:
                axes.axvline(start, color=ORANGE, linewidth=1, alpha=0.7)

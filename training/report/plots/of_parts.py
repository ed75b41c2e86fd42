"""Plots of a version's parts: what its inputs contribute, and how good it is on each slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training.report.plots.canvas import BLUE, GREY, INK, ORANGE, SECOND, plain, spread, styled, title
from training.report.slices import Slice, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The most bars and slices in one plot.
_BARS, _SLICES = 15, 24


def height(lines: int) -> float:
    """The height of a plot with so many lines, in inches: lines are as high in any plot."""
    return 1.5 + 0.27 * lines


def largest(importances: Mapping[str, float]) -> dict[str, float]:
    """Up to 15 inputs with the largest importances above 0, smallest first."""
    used = [(name, value) for name, value in importances.items() if value > 0]
    return dict(sorted(used, key=lambda pair: pair[1])[-_BARS:])


def importances(figure: Figure, harm: str, found: Mapping[str, float]) -> None:
    """A bar for each input, the most important one at the top."""
    axes = styled(figure.add_subplot(), grid="x")
    bars = axes.barh([plain(name) for name in found], list(found.values()), color=BLUE, height=0.7)
    axes.bar_label(bars, fmt=" %.2f", fontsize=8, color=SECOND)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.set_xlabel("mean absolute contribution to the margin, log-odds")
    title(axes, f"{harm}: the most important inputs", "on held-out rows; without inputs that change no score")


def chosen(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Up to 24 slices with enough rows, in their order: those far behind, then those with the most rows."""
    kept = sorted(telling(slices), key=lambda one: (not one.behind, -one.rows))[:_SLICES]
    return tuple(one for one in slices if one in kept)


def by_slice(figure: Figure, harm: str, slices: Sequence[Slice]) -> None:
    """ROC AUC on each slice, and its mean score against its share of violating rows, with 95% intervals."""
    left, right = (styled(axes, grid="x") for axes in figure.subplots(1, 2, sharey=True))
    for y, one in enumerate(slices):
        color = ORANGE if one.behind else BLUE
        if one.roc_auc is None:
            left.text(1, y, "too few distinct rows", fontsize=8, color=GREY, ha="right", va="center")
        else:
            error = None if one.auc is None else spread(one.auc)
            left.errorbar(one.roc_auc, y, xerr=error, fmt="o", color=color, markersize=5)
        share = one.share
        right.errorbar(share.found, y, xerr=spread(share), fmt="o", color=color, markersize=5)
        right.plot(one.mean_score, y, "|", color=INK, markersize=12)
    labels = [f"{plain(one.dimension)}: {plain(one.value)} ({one.rows:,})" for one in slices]
    left.set_yticks(range(len(slices)), labels)
    left.set_ylim(len(slices) - 0.5, -0.5)
    left.set_xlim(right=1.01)
    left.set_xlabel("ROC AUC")
    right.set_xlim(-0.02, min(1.02, 0.05 + max(max(one.share.high, one.mean_score) for one in slices)))
    right.set_xlabel("share violating (●), mean score (|)")
    behind = sum(one.behind for one in slices)
    title(left, f"{harm}: slices", f"held-out rows in brackets; orange: far behind ({behind})")

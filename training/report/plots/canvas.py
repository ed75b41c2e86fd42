"""The style that all plots share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.report.paired import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, LIGHT_BLUE, ORANGE, GREY, INK = "#2563eb", "#93c5fd", "#d97706", "#9ca3af", "#111827"
SECOND, GRID = "#4b5563", "#e5e7eb"
_LONGEST = 40


def png(path: Path, fill: Callable[[Figure], None], *, width: float = 6.4, height: float = 4.8) -> Path:
    """Let `fill` draw a figure of this size, in inches, and write it to `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # Names may contain characters that the font lacks.
        warnings.simplefilter("ignore")
        fill(figure)
        figure.savefig(path)
    return path


def styled(axes: Axes, *, grid: Literal["both", "x", "y"] = "both") -> Axes:
    """Give axes the common style; returns them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, length=3, labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, linewidth=0.6)
    return axes


def title(axes: Axes, text: str, below: str) -> None:
    """A title, and smaller lines below it."""
    room = "\n" * (1 + below.count("\n"))
    axes.set_title(text + room, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.text(0, 1.02, below, transform=axes.transAxes, fontsize=9, color=SECOND)


def spread(found: Interval) -> list[list[float]]:
    """How far an interval reaches below and above its value, for error bars. Rounding may leave the value outside."""
    return [[max(0.0, found.found - found.low)], [max(0.0, found.high - found.found)]]


def plain(text: str) -> str:
    """A name as a label: shortened, and without the mathematics that matplotlib would see in it.

    >>> plain("about $5")
    'about \\\\$5'
    """
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return short.replace("$", r"\$")

"""The chart of a run: each cost against the size of what is stored, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.report import Measure
from benchmarks.scale.growth import Key, Series, series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _SOFT, _GRID, _BAR = "#111827", "#4b5563", "#e5e7eb", "#dc2626"
_COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")
_MARKERS = ("o", "s", "^", "D")
# Up to this exponent, a cost counts as independent of the size: ten times the data, a quarter more time.
_FLAT = 0.1


class Panel(NamedTuple):
    """One small chart.

    Args:
        lines: label of each series.
    """

    title: str
    unit: str
    size: str
    lines: dict[str, Key]


PANELS = (
    Panel(
        "Events processed",
        "events/s",
        "events in the log, or items",
        {
            "first pass": Key("events", "folded"),
            "new, scored": Key("events", "log → online with scoring"),
            "about items": Key("items", "folded"),
        },
    ),
    Panel(
        "Starting a worker again",
        "seconds",
        "events in the log, or items",
        {"after a log": Key("events", "start again"), "with items": Key("items", "start again")},
    ),
    Panel(
        "Memory of a process",
        "MB, anonymous",
        "events in the log, or items",
        {
            "first pass": Key("events", "memory while folding"),
            "scoring": Key("events", "memory while scoring"),
            "frames": Key("events", "memory while joining frames"),
            "about items": Key("items", "memory while folding"),
        },
    ),
    Panel(
        "Disk",
        "bytes per event or item",
        "events in the log, or items",
        {
            "all, per event": Key("events", "disk"),
            "state, per item": Key("items", "state"),
            "online, per item": Key("items", "online store"),
        },
    ),
    Panel(
        "Training rows joined",
        "rows/s",
        "events in the log",
        {"point in time": Key("events", "point-in-time frames")},
    ),
    Panel(
        "Queue",
        "ms, p50",
        "open leads",
        {
            "claim of ten, SQLite": Key("leads", "claim of 10, p50", "SQLite"),
            "claim of ten, PostgreSQL": Key("leads", "claim of 10, p50", "PostgreSQL"),
            "first page, SQLite": Key("leads", "first page, no filter, p50", "SQLite"),
            "first page, PostgreSQL": Key("leads", "first page, no filter, p50", "PostgreSQL"),
        },
    ),
)


def draw(measures: Sequence[Measure], path: Path) -> None:
    """Write the chart in the format that the path's suffix names, such as SVG or PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = series_of(measures)
    # The same run always gives the same file.
    with mpl.rc_context({"svg.hashsalt": "scale", "font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(14, 7), dpi=110, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.12)  # type: ignore[union-attr,call-arg]
        figure.suptitle(
            "How costs grow with what is stored", x=0.008, ha="left", fontsize=14, fontweight="bold", color=_INK
        )
        grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 0.8))
        for i, panel in enumerate(PANELS):
            _panel(figure.add_subplot(grid[i // 3, i % 3]), panel, series)
        _exponents(figure.add_subplot(grid[:, 3]), series)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata)


def _panel(axes: Axes, panel: Panel, series: Mapping[Key, Series]) -> None:
    _styled(axes, panel.title)
    axes.set(xscale="log", yscale="log", xlabel=panel.size, ylabel=panel.unit)
    found = {label: series[key] for label, key in panel.lines.items() if key in series}
    bars = set()
    for i, (label, line) in enumerate(found.items()):
        name = label if line.exponent is None else f"{label}: $n^{{{_signed(line.exponent)}}}$"
        style = {"color": _COLOURS[i], "marker": _MARKERS[i], "markersize": 5, "linewidth": 1.8}
        axes.plot(list(line.values), list(line.values.values()), label=name, **style)  # type: ignore[arg-type]
        if line.bar is not None:
            bars.add(line.bar)
    sign = "≥" if panel.unit.endswith("/s") else "≤"
    for bar in bars:
        axes.axhline(bar, color=_BAR, linewidth=1, linestyle=(0, (4, 3)))
        at, move = (1, bar), (3, 0)
        axes.annotate(
            f"{sign} {bar:,g}",
            at,
            move,
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=_BAR,
        )
    values = [value for line in found.values() for value in line.values.values()] + list(bars)
    if not values:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=_SOFT)
        return
    _whole_decades(axes, values)
    axes.legend(loc="lower left", frameon=False, fontsize=8, labelcolor=_INK, handlelength=1.6, borderaxespad=0.2)


def _whole_decades(axes: Axes, values: Sequence[float]) -> None:
    """Show at least two decades, so that noise doesn't look like growth, with room for the legend below the lines."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(values), max(values)
    axes.set_ylim(min(low / 8, high / 60), high * 1.8)
    for axis, digits in ((axes.xaxis, (1.0,)), (axes.yaxis, (1.0, 2.0, 5.0))):
        axis.set_major_locator(LogLocator(subs=digits, numticks=12))
        axis.set_major_formatter(FuncFormatter(_short))
        axis.set_minor_formatter(NullFormatter())


def _exponents(axes: Axes, series: Mapping[Key, Series]) -> None:
    """All exponents next to each other: left of the line at 1, a cost grows more slowly than what is stored."""
    _styled(axes, "Exponent of each cost")
    rows = [
        (f"{panel.title}: {label}", one, _COLOURS[i])
        for panel in PANELS
        for i, (label, key) in enumerate(panel.lines.items())
        if key in series and (one := series[key].exponent) is not None
    ]
    axes.axvspan(-_FLAT, _FLAT, color="#dcfce7")
    axes.axvline(1, color=_SOFT, linewidth=1, linestyle=":")
    for y, (_, value, colour) in enumerate(reversed(rows)):
        axes.plot([0, value], [y, y], color=colour, linewidth=1.4)
        axes.plot(value, y, "o", color=colour, markersize=4.5)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)], fontsize=7)
    axes.set(xlabel="0: independent of the size\n1: proportional to it", ylim=(-0.7, len(rows) - 0.3))
    low, high = min([-0.3, *(x for _, x, _ in rows)]), max([1.1, *(x for _, x, _ in rows)])
    axes.set_xlim(low - 0.1, high + 0.1)


def _styled(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9ca3af")
    axes.tick_params(colors=_SOFT, length=3, labelsize=8)
    axes.tick_params(which="minor", length=0)
    axes.xaxis.label.set(color=_SOFT, fontsize=8)
    axes.yaxis.label.set(color=_SOFT, fontsize=8)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _signed(exponent: float) -> str:
    """An exponent with two decimals; never -0.00.

    >>> _signed(-0.001), _signed(0.987)
    ('0.00', '0.99')
    """
    return f"{round(exponent, 2) + 0.0:.2f}"


def _short(value: float, _: object = None) -> str:
    """A number as an axis shows it.

    >>> _short(12_500_000), _short(1_000), _short(0.1)
    ('12.5M', '1k', '0.1')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"

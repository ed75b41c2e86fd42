"""Small drawings for pages, as SVG without scripts: distributions, series, bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.messages.wording import short_number
from monitoring.output.html import Html, el
from monitoring.summaries.sketch import GAMMA, SMALLEST, Sketch, merged, middles

Values = npt.NDArray[np.float64]
_BINS = 28
_TAIL = 0.005
# With a longer tail than this, as a multiple of the middle value, the axis is logarithmic.
_LONG_TAIL = 6.0


class Binned(NamedTuple):
    """Two distributions over the same bins.

    Args:
        reference, current: (bins,) shares, which sum to 1; zeros without values.
        first, last: the values at the ends of the axis.
    """

    reference: Values
    current: Values
    first: float
    last: float


def binned(reference: Sketch | None, current: Sketch | None, *, linear: bool = False) -> Binned | None:
    """Both sides over common bins; None if all values are equal, or there are none.

    Args:
        linear: even for a long tail.
    """
    sides = [side for side in (reference, current) if side is not None and side.n]
    both = merged(sides)
    if not len(both.keys) or len(both.keys) == 1:
        return None
    first, last, middle = (both.quantile(q) for q in (_TAIL, 1 - _TAIL, 0.5))
    if first == last:
        first, last = float(middles(both.keys)[0]), float(middles(both.keys)[-1])
    linear = linear or max(abs(first), abs(last)) <= _LONG_TAIL * max(abs(middle), SMALLEST)
    if linear:
        edges = np.linspace(first, last, _BINS + 1)
    else:
        ends = _to_axis(np.array([first, last]))
        edges = _from_axis(np.linspace(float(ends[0]), float(ends[1]), _BINS + 1))
    edges[[0, -1]] = -np.inf, np.inf
    shares = [_shares(side, edges) if side is not None and side.n else np.zeros(_BINS) for side in (reference, current)]
    return Binned(shares[0], shares[1], first, last)


def distribution(reference: Sketch | None, current: Sketch | None, *, wide: bool = False, linear: bool = False) -> Html:
    """The reference as an area and the window as a line over it, both with the same height for the same share."""
    found = binned(reference, current, linear=linear)
    if found is None:
        side = current if current is not None and current.n else reference
        return (
            Html("") if side is None or not side.n else el("span", f"always {short_number(side.mean)}", class_="quiet")
        )
    width, height = (560, 120) if wide else (168, 34)
    most = max(float(found.reference.max()), float(found.current.max()))
    area, line = (_steps(side / most, width, height) for side in (found.reference, found.current))
    return Html(
        f'<svg class="dist{" wide" if wide else ""}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        'role="img" aria-label="Distribution in the window over that of the reference">'
        f'<path class="ref" d="{area}V{height}H0Z"/><path class="cur" d="{line}"/></svg>'
        f'<span class="ends"><span>{short_number(found.first)}</span><span>{short_number(found.last)}</span></span>'
    )


def series(values: Sequence[float]) -> Html:
    """A line of values in the order of time; nothing for fewer than three."""
    if len(values) < 3:
        return Html("")
    lowest, highest = min(values), max(values)
    span = (highest - lowest) or 1.0
    points = " ".join(
        f"{120 * i / (len(values) - 1):.0f},{22 - 20 * (value - lowest) / span:.0f}" for i, value in enumerate(values)
    )
    return Html(
        f'<svg class="series" viewBox="0 0 120 24" preserveAspectRatio="none" role="img" aria-label="The last days">'
        f'<polyline points="{points}"/></svg>'
    )


def against_threshold(value: float, threshold: float) -> Html:
    """A bar of a value, with a mark at its threshold."""
    end = max(2.5 * threshold, 1e-9)
    filled, mark = 100 * min(max(value, 0.0) / end, 1.0), 100 * min(threshold / end, 1.0)
    over = " over" if value > threshold else ""
    return Html(
        f'<svg class="bar{over}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="8"/><rect class="fill" width="{filled:.0f}" height="8"/>'
        f'<rect class="mark" x="{mark:.0f}" width="1.5" height="8"/></svg>'
    )


def interval(value: float | None, lo: float | None, hi: float | None) -> Html:
    """A share with its interval, on an axis from 0 to 1."""
    if value is None:
        return Html("")
    low, high = (100 * min(max(end, 0.0), 1.0) for end in (value if lo is None else lo, value if hi is None else hi))
    at = 100 * min(max(value, 0.0), 1.0)
    return Html(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8"/>'
        f'<rect class="span" x="{low:.0f}" width="{max(high - low, 1):.0f}" height="8"/>'
        f'<rect class="mark" x="{max(at - 1, 0):.0f}" width="2" height="8"/></svg>'
    )


def _steps(heights: Values, width: int, height: int) -> str:
    """A path along the tops of bars; heights are from 0 to 1."""
    step = width / len(heights)
    tops = [height - 1 - (height - 2) * float(one) for one in heights]
    return f"M0 {tops[0]:.1f}" + "".join(f"V{top:.1f}H{(i + 1) * step:.1f}" for i, top in enumerate(tops))


def _shares(side: Sketch, edges: Values) -> Values:
    """The share of the values in each bin. The values of a bucket count as spread evenly over it."""
    middle = middles(side.keys)
    half = np.maximum(np.abs(middle) * (np.sqrt(GAMMA) - 1), SMALLEST / 2)
    below = np.clip((edges[:, None] - (middle - half)[None, :]) / (2 * half)[None, :], 0, 1) @ side.counts
    shares: Values = np.diff(below) / side.n
    return shares


def _to_axis(values: Values) -> Values:
    found: Values = np.sign(values) * np.log1p(np.abs(values) / SMALLEST)
    return found


def _from_axis(places: Values) -> Values:
    found: Values = np.sign(places) * np.expm1(np.abs(places)) * SMALLEST
    return found

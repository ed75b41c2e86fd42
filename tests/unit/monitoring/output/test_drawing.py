"""Drawings of sketches: shares that add up, axes that suit the values."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from monitoring.output import drawing
from monitoring.summaries.sketch import EMPTY, sketch

RNG = np.random.default_rng(0)


def parsed(html: str) -> None:
    ElementTree.fromstring(f"<div>{html}</div>")


@pytest.mark.parametrize(
    "values",
    [
        RNG.uniform(0, 1, 2_000),
        RNG.lognormal(0, 3, 2_000),
        RNG.normal(0, 5, 2_000),
        np.repeat([0.0, 1.0], [1_900, 100]),
        np.array([0.0, 1e29]),
        np.array([-3.0, -2.0, np.nan]),
    ],
)
@pytest.mark.parametrize("linear", [False, True])
def test_shares_add_up(values: np.ndarray, linear: bool) -> None:
    side = sketch(values)
    found = drawing.binned(side, side, linear=linear)
    assert found is not None
    assert found.reference.sum() == pytest.approx(1)
    assert found.reference == pytest.approx(found.current)
    assert (found.current >= 0).all()
    assert found.first <= found.last
    parsed(drawing.distribution(side, side, linear=linear))


def test_even_values_are_drawn_evenly() -> None:
    """Buckets of high values are wider than bins; they are spread over them."""
    found = drawing.binned(None, sketch(RNG.uniform(0, 1, 100_000)), linear=True)
    assert found is not None
    assert found.current.min() > 0.5 / len(found.current)
    assert found.current.max() < 2 / len(found.current)
    assert found.reference.sum() == 0


def test_a_long_tail_gets_a_logarithmic_axis() -> None:
    found = drawing.binned(None, sketch(np.concatenate([np.ones(900), RNG.lognormal(5, 2, 100)])))
    assert found is not None
    assert (found.current > 0).sum() > 8


def test_constants_and_nothing() -> None:
    assert "always 3" in drawing.distribution(sketch(np.full(9, 3.0)), sketch(np.full(4, 3.0)))
    assert drawing.distribution(None, None) == ""
    assert drawing.distribution(EMPTY, EMPTY) == ""
    assert drawing.distribution(sketch(np.array([np.nan])), None) == ""


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [0.0, 0.0, 0.0], [1.0, -5.0, 1e9]])
def test_series(values: list[float]) -> None:
    assert bool(drawing.series(values)) is (len(values) >= 3)
    parsed(drawing.series(values))


@pytest.mark.parametrize(("value", "threshold"), [(0.0, 0.1), (0.3, 0.1), (-1.0, 0.0), (1e9, 1e-9)])
def test_bars(value: float, threshold: float) -> None:
    bar = drawing.against_threshold(value, threshold)
    parsed(bar)
    assert ("over" in bar) is (value > threshold)
    parsed(drawing.interval(value, None, threshold))

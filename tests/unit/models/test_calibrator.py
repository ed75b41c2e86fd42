from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.errors import ModelRefused
from models.calibrator import Calibrator

BENT = Calibrator(margins=(-2.0, 0.0, 1.0), log_odds=(-4.0, 0.0, 0.1))


def test_two_knots_are_platt_scaling() -> None:
    margins = np.linspace(-8, 8, 33)
    platt = Calibrator(margins=(0.0, 2.0), log_odds=(0.5, 3.5)).score(margins)
    assert np.allclose(platt, 1 / (1 + np.exp(-(1.5 * margins + 0.5))))


def test_the_line_goes_through_its_knots_and_on() -> None:
    scores = BENT.score(np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0]))
    assert np.allclose(np.log(scores / (1 - scores)), [-6, -4, -2, 0, 0.1, 0.2])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_a_higher_margin_never_scores_lower(margins: list[float]) -> None:
    scores = BENT.score(np.array(sorted(margins)))
    assert (np.diff(scores) >= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_json_round_trips() -> None:
    assert Calibrator.from_json(BENT.to_json()) == BENT


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"",
        b'{"margins":[0],"log_odds":[0]}',
        b'{"margins":[0,1],"log_odds":[1,0]}',
        b'{"margins":[0,0],"log_odds":[0,1]}',
        b'{"margins":[0,1,2],"log_odds":[0,1]}',
        b'{"margins":[0,1e999],"log_odds":[0,1]}',
    ],
)
def test_what_does_not_rise_is_refused(raw: bytes) -> None:
    with pytest.raises(ModelRefused, match="calibrator"):
        Calibrator.from_json(raw)

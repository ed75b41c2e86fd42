from __future__ import annotations

import numpy as np
import pytest

from monitoring.drift.design import dispersion, effective, effects, grouped


def test_independent_rows_are_worth_themselves() -> None:
    random = np.random.default_rng(1)
    found = [dispersion(grouped(random.multinomial(500, np.full(30, 1 / 30), 4).astype(float))) for _ in range(50)]
    assert float(np.median(effects(found))) < 1.3


def test_windows_that_differ_are_worth_fewer_rows() -> None:
    random = np.random.default_rng(2)
    shares = random.dirichlet(np.full(30, 3.0), 4)
    counts = np.array([random.multinomial(500, one) for one in shares], float)
    effect = effects([dispersion(grouped(counts))])
    assert effect[0] > 3
    assert effective(np.array([500.0]), effect)[0] == pytest.approx(500 / effect[0])


def test_nothing_to_compare_changes_nothing() -> None:
    assert dispersion(np.array([[3.0, 4.0]])) == (0.0, 0.0)
    assert effects([(0.0, 0.0)]).tolist() == [1.0]
    assert effects([]).tolist() == []

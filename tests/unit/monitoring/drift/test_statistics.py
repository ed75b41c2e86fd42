"""The distance equals Evidently's; its threshold allows for chance."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.drift.statistics import THRESHOLD, Values, distance, thresholds
from monitoring.drift.statistics import _shuffled_distances as shuffled_distances

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]


def world(rows: int, random: np.random.Generator) -> Values:
    """Columns like the inputs': rare counts, heavy tails, shares, ages, constants, missing values."""
    columns = [np.where(random.random(rows) < share, 1 + random.poisson(0.5, rows), 0) for share in (0.01, 0.1)]
    columns += [np.floor(random.lognormal(2, 1.5, rows)), random.exponential(300, rows), random.normal(0, 1, rows)]
    columns += [np.where(random.random(rows) < 0.8, 0, random.random(rows)), np.zeros(rows), random.beta(0.3, 4, rows)]
    values = np.column_stack(columns).astype(float)
    values[random.random(rows) < 0.3, 3] = np.nan
    return values


def known(column: Values) -> Values:
    return column[~np.isnan(column)]


def test_the_shuffled_distance_equals_evidentlys() -> None:
    random = np.random.default_rng(1)
    reference, current = world(400, random), world(150, random) * 1.3
    labels = (np.arange(550) >= 400)[None]
    for before, after in zip(reference.T, current.T, strict=True):
        ours = shuffled_distances(np.concatenate([before, after]), labels)[0]
        assert ours == pytest.approx(distance(known(before), known(after)), rel=1e-9, abs=1e-12)


def test_an_empty_side_has_no_distance() -> None:
    assert np.isnan(distance(np.array([]), np.array([1.0])))
    assert np.isnan(distance(np.array([1.0]), np.array([])))


def test_a_constant_reference_has_a_distance() -> None:
    assert distance(np.zeros(100), np.zeros(50)) == 0
    assert distance(np.zeros(100), np.ones(50)) == pytest.approx(1_000)


def exceeded(reference: Values, current: Values) -> list[int]:
    limits = thresholds(reference, current)
    pairs = zip(reference.T, current.T, limits, strict=True)
    return [j for j, (before, after, limit) in enumerate(pairs) if distance(known(before), known(after)) > limit]


def test_windows_without_drift_rarely_alarm() -> None:
    random = np.random.default_rng(2)
    reference = world(1_000, random)
    alarms = {rows: sum(bool(exceeded(reference, world(rows, random))) for _ in range(10)) for rows in (100, 300)}
    # The false alarm rate is 1%; with the fixed threshold nearly every window would alarm.
    assert max(alarms.values()) <= 2


def test_only_the_changed_columns_are_found() -> None:
    random = np.random.default_rng(3)
    reference, current = world(3_000, random), world(1_000, random)
    current[:, 1] = np.where(random.random(1_000) < 0.25, 1, current[:, 1])
    current[random.random(1_000) < 0.1, 4] += 4
    assert exceeded(reference, current) == [1, 4]


def test_thresholds_fall_as_the_window_grows() -> None:
    random = np.random.default_rng(4)
    reference = world(4_000, random)
    small, large = (thresholds(reference, world(rows, random)) for rows in (100, 4_000))
    assert (small >= THRESHOLD).all()
    assert (small[:6] > large[:6]).all()
    assert large[4] == THRESHOLD


def test_equal_data_gives_equal_thresholds() -> None:
    random = np.random.default_rng(5)
    reference, current = world(5_000, random), world(300, random)
    np.testing.assert_array_equal(thresholds(reference, current), thresholds(reference, current))


def test_columns_missing_on_one_side_give_finite_thresholds() -> None:
    random = np.random.default_rng(6)
    reference, current = world(500, random), world(200, random)
    current[:, 0] = np.nan
    reference[:, 1] = np.nan
    reference[:, 2] = current[:, 2] = np.nan
    assert np.isfinite(thresholds(reference, current)).all()

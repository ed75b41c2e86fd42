"""Distances agree with Evidently's and with resampling, and unchanged data exceed thresholds as rarely as promised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.drift.statistics import Distances, Shares, category_distance, norms, numbers
from monitoring.summaries.sketch import Sketch, aligned, middles, sketch

Doubles = npt.NDArray[np.float64]


def one(values: Doubles) -> Doubles:
    return np.array([values], np.float64)


def distance(reference: Doubles, current: Doubles) -> Distances:
    sides: list[Sketch] = [sketch(reference), sketch(current)]
    keys, counts = aligned(*sides)
    apart = sides[0].mean - sides[1].mean
    pooled = float(np.sqrt((sides[0].deviation ** 2 + sides[1].deviation ** 2) / 2 + apart**2 / 4))
    norm = norms(np.array([sides[0].deviation]), np.array([pooled]))
    rows = (np.array([float(len(side))]) for side in (reference, current))
    return numbers(one(middles(keys)), one(counts[0]), one(counts[1]), *rows, norm)


def samples(random: np.random.Generator, rows: int, *, moved: float = 0.0) -> dict[str, Doubles]:
    return {
        "normal": random.normal(moved, 1, rows),
        "heavy tail": random.lognormal(1 + moved, 1.2, rows),
        "counts": random.poisson(2 + moved, rows).astype(np.float64),
        "share": random.beta(2, 6 - moved, rows),
        "mostly zero": np.where(random.random(rows) < 0.1 + moved / 10, random.exponential(10, rows), 0.0),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("moved", [0.0, 0.3, 1.0])
def test_the_distance_is_evidently_s_within_the_sketches_error(moved: float) -> None:
    import pandas as pd
    from evidently.legacy.calculations.stattests import wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    random = np.random.default_rng(1)
    for name, reference in samples(random, 4_000).items():
        current = samples(random, 1_500, moved=moved)[name]
        theirs, _ = wasserstein_stat_test.func(pd.Series(reference), pd.Series(current), ColumnType.Numerical, 0.1)
        assert distance(reference, current).value[0] == pytest.approx(float(theirs), abs=0.02, rel=0.05), name


def test_a_baseline_that_hardly_varies_makes_no_change_infinite() -> None:
    reference, current = np.full(5_000, 3.0), np.full(200, 4.0)
    reference[0] = 3.2
    assert distance(reference, current).value[0] < 10


@pytest.mark.parametrize("rows", [150, 1_000])
def test_what_chance_does_is_what_resampling_shows(rows: int) -> None:
    random = np.random.default_rng(2)
    for name, reference in samples(random, 5_000).items():
        drawn = [distance(reference, random.choice(reference, rows)) for _ in range(300)]
        value = np.array([one.value[0] for one in drawn])
        # Drawn from the reference itself, so that only the window varies.
        exact = np.sqrt(1 / (1 + rows / 5_000))
        mean = float(np.mean([one.mean[0] for one in drawn])) * exact
        deviation = float(np.mean([one.deviation[0] for one in drawn])) * exact
        assert mean == pytest.approx(value.mean(), rel=0.15), name
        assert deviation == pytest.approx(value.std(), rel=0.35), name


def test_unchanged_numbers_are_rarely_beyond_their_thresholds() -> None:
    random = np.random.default_rng(3)
    p: dict[str, list[float]] = {}
    beyond = 0
    for _ in range(400):
        references, currents = samples(random, 2_000), samples(random, 200)
        for name, reference in references.items():
            found = distance(reference, currents[name])
            p.setdefault(name, []).append(float(found.beyond(found.value)[0]))
            beyond += bool(found.value[0] > found.threshold(1e-3)[0])
    for name, values in p.items():
        assert np.mean(np.array(values) < 0.05) < 0.09, name
        assert np.mean(np.array(values) < 0.005) < 0.02, name
    assert beyond <= 10


def test_a_threshold_is_the_distance_at_which_p_is_reached() -> None:
    random = np.random.default_rng(4)
    found = distance(random.normal(0, 1, 2_000), random.normal(0.2, 1, 300))
    limit = found.threshold(0.001)
    at_limit = Distances(limit, found.mean, found.deviation, found.skewness)
    assert at_limit.beyond(at_limit.value)[0] == pytest.approx(0.001, rel=0.01)
    assert (found.value[0] > limit[0]) == (found.beyond(found.value)[0] < 0.001)


def shares(share: float, rows: float, of: float, of_rows: float) -> Shares:
    return Shares(*(np.array([value], np.float64) for value in (share, rows, of, of_rows)))


def test_unchanged_shares_are_rarely_beyond_their_thresholds() -> None:
    random = np.random.default_rng(5)
    for share in (0.001, 0.02, 0.3, 0.97):
        current, reference = random.binomial(200, share, 2_000) / 200, random.binomial(5_000, share, 2_000) / 5_000
        found = Shares(current, np.full(2_000, 200.0), reference, np.full(2_000, 5_000.0))
        assert (found.beyond(found.value) < 0.01).sum() <= 40, share
        assert (found.value > found.threshold(0.01)).sum() <= 40, share


def test_a_share_that_was_never_seen_has_a_finite_distance_and_a_threshold() -> None:
    found = shares(0.06, 191, 0.0, 5_000)
    assert found.value[0] == pytest.approx(2 * np.arcsin(np.sqrt(0.06)))
    assert found.beyond(found.value)[0] < 1e-6
    assert 0 < found.threshold(1e-5)[0] < found.value[0]


def test_a_share_can_fall_beyond_its_threshold_too() -> None:
    found = shares(0.01, 1_000, 0.2, 5_000)
    assert found.value[0] > found.threshold(1e-6)[0]
    # It never can, but the threshold isn't beyond what a share can do either.
    few = shares(0.0, 20, 0.01, 5_000)
    assert few.threshold(1e-6)[0] == pytest.approx(few.value[0])
    assert few.beyond(few.value)[0] > 0.1


def test_categories_are_apart_by_the_rows_that_would_have_to_change() -> None:
    found = category_distance(np.array([60.0, 40.0, 0.0]), np.array([30.0, 40.0, 30.0]), 100, 100)
    assert found.value[0] == pytest.approx(0.3)
    random = np.random.default_rng(6)
    shares_ = random.dirichlet(np.full(200, 0.5))
    drawn = [
        category_distance(random.multinomial(4_000, shares_), random.multinomial(900, shares_), 4_000, 900)
        for _ in range(200)
    ]
    value = np.array([one.value[0] for one in drawn])
    assert float(np.mean([one.mean[0] for one in drawn])) == pytest.approx(value.mean(), rel=0.1)
    assert float(np.mean([one.deviation[0] for one in drawn])) == pytest.approx(value.std(), rel=0.3)
    assert np.mean([one.beyond(one.value)[0] < 0.01 for one in drawn]) < 0.05

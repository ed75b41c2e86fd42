"""The C API gives what XGBoost's own wrapper gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost

from models.trees import margins


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 7)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    matrix = xgboost.DMatrix(rows, label=rng.random(500) < 0.3)
    return xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 4}, matrix, 20)


def rows_of(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 7)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    return rows


@pytest.mark.parametrize("n", [1, 2, 100, 3_000])
def test_margins_are_xgboosts_own(booster: xgboost.Booster, n: int) -> None:
    rows = rows_of(n, n)
    expected = booster.inplace_predict(rows, predict_type="margin")
    np.testing.assert_array_equal(margins(booster, rows), expected.astype(np.float64))


def test_several_threads_dont_mix_their_answers(booster: xgboost.Booster) -> None:
    batches = [rows_of(40, seed) for seed in range(200)]
    expected = [booster.inplace_predict(rows, predict_type="margin") for rows in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda rows: margins(booster, rows), batches))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float64))


def test_a_matrix_of_another_width_is_an_error(booster: xgboost.Booster) -> None:
    with pytest.raises(xgboost.core.XGBoostError):
        margins(booster, np.zeros((2, 5), dtype=np.float32))


def test_a_booster_of_several_classes_is_an_error() -> None:
    rows = rows_of(60, 1)
    matrix = xgboost.DMatrix(rows, label=np.arange(60) % 3)
    several = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, matrix, 2)
    with pytest.raises(ValueError, match="180 margins for 60 rows"):
        margins(several, rows)


def test_a_call_does_not_affect_the_next_with_another_booster_or_size(booster: xgboost.Booster) -> None:
    rows = rows_of(60, 1)[:, :5].copy()
    narrow = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(rows, rows[:, 0] > 0), 3)
    for n in (50, 1, 3):
        with pytest.raises(xgboost.core.XGBoostError):
            margins(booster, rows[:n])
        for one, its in ((booster, rows_of(n, n)), (narrow, rows[:n])):
            expected = one.inplace_predict(its, predict_type="margin")
            np.testing.assert_array_equal(margins(one, its), expected.astype(np.float64))

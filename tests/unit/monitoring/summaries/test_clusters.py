"""Rows of a few accounts say less than as many rows of accounts of their own."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.summaries.clusters import design_effect, design_effects
from monitoring.summaries.summary import FLAGGED, MISSING, SCORE
from monitoring.summaries.tally import Described, Rows

EVERY = np.arange(1_000)


def rows(matrix: np.ndarray) -> Rows:
    random = np.random.default_rng(3)
    described = Described(
        {"language": ["en" if value < 0 else "de" for value in matrix[:, 0]]},
        {},
        {"vocabulary": [("a", str(random.integers(9))) for _ in matrix]},
    )
    tiers = np.where(matrix[:, 0] > 1, "review", "none").tolist()
    names = ("of_account", "of_row", "sometimes", "constant")
    return Rows(random.random(len(matrix)), tiers, ["comment"] * len(matrix), names, matrix, described)


def made(accounts: int) -> tuple[Rows, list[str | None]]:
    """Rows of which one column is the account's, and the others are the rows' own."""
    random = np.random.default_rng(2)
    of = random.integers(accounts, size=1_000)
    value = random.normal(size=accounts)[of]
    own = random.normal(size=1_000)
    sometimes = np.where(value > 0, np.nan, own)
    return rows(np.column_stack([value, own, sometimes, np.ones(1_000)])), [str(one) for one in of]


def test_what_an_account_has_counts_once_for_all_its_rows_and_what_a_row_has_counts() -> None:
    found = design_effects(*made(50), EVERY)
    # About 20 rows an account, all equal.
    assert 15 < found["of_account"] < 27
    assert 15 < found["sometimes" + MISSING] < 27
    assert 10 < found["language"] < 27
    assert found[FLAGGED] > 8
    assert all(1 <= found[name] < 1.6 for name in ("of_row", SCORE, "vocabulary"))
    assert found["constant"] == 1
    assert "of_row" + MISSING not in found


def test_no_value_decides_the_effect() -> None:
    matrix, accounts = made(50)
    assert matrix.matrix is not None
    before = design_effects(matrix, accounts, EVERY)["of_row"]
    matrix.matrix[0, 1] = 1e12
    assert design_effects(matrix, accounts, EVERY)["of_row"] == pytest.approx(before, rel=0.05)


def test_rows_of_accounts_of_their_own_and_without_one_count_in_full() -> None:
    sample, _ = made(50)
    for accounts in ([str(i) for i in EVERY], [None] * 1_000):
        assert max(design_effects(sample, accounts, EVERY).values()) == pytest.approx(1.0, abs=0.01)


def test_a_slice_has_effects_of_its_own() -> None:
    sample, accounts = made(50)
    some = EVERY[:40]
    assert design_effects(sample, accounts, some)["of_account"] < 4


def test_rows_of_one_account_are_one_row() -> None:
    assert design_effects(*made(1), EVERY)["of_row"] == 1_000
    assert design_effect(np.full((5, 1), 3.0), np.zeros(5, np.int64)) == 1


def test_without_accounts_nothing_is_known() -> None:
    sample, accounts = made(50)
    assert design_effects(sample, (), EVERY) == {}
    assert design_effects(sample, accounts, EVERY[:0]) == {}

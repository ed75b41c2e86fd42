"""Evaluation gives the same bits however many subjects are evaluated at once, and for any part of a contract."""

from __future__ import annotations

import numpy as np
import pytest

from features.contract import Column, FeatureContract
from features.declared.builtin import BUILTIN, ROLES
from features.evaluate.columns import contract_for, evaluate
from features.evaluate.plan import BLOCK
from features.layout import Instants, Matrix, missing
from leads import clock
from tests.support.features.folding import fold, packed_of
from tests.support.features.random_history import SUBJECTS, history

Rows = tuple[dict[str, Matrix], Instants]
WHOLE = contract_for(text=False)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """More rows than are evaluated at a time, most with missing roles, up to months before their instants."""
    events = history(5, 600)
    packed = packed_of(fold(events), SUBJECTS)
    n = 2 * BLOCK + 5
    drawn = np.random.default_rng(0)
    which = drawn.integers(0, len(SUBJECTS), n)
    as_of = events[-1].visible_at + drawn.choice([0, 299, 3_600, 80_000, 20 * 86_400], n) * clock.SECOND
    return {role: values[which] for role, values in packed.items()}, as_of


def matrix(contract: FeatureContract, rows: Rows, part: slice = slice(None)) -> Matrix:
    packed, as_of = rows
    n = len(as_of[part])
    return evaluate(contract, {role: values[part] for role, values in packed.items()}, as_of[part], [None] * n).matrix


def test_subjects_do_not_affect_each_other(rows: Rows) -> None:
    whole = matrix(WHOLE, rows)
    # A NaN's sign depends on whether any row was found, and means nothing.
    for size in (1, 7, BLOCK):
        parts = [matrix(WHOLE, rows, slice(start, start + size)) for start in range(0, len(whole), size)]
        assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)


def test_columns_do_not_affect_each_other(rows: Rows) -> None:
    whole = matrix(WHOLE, rows)
    for j, feature in enumerate(BUILTIN.defaults):
        alone = matrix(FeatureContract("test", (Column(feature.name),), ""), rows)
        assert alone[:, 0].tobytes() == whole[:, j].tobytes(), feature.name


def test_columns_may_be_in_any_order(rows: Rows) -> None:
    order = np.random.default_rng(1).permutation(len(BUILTIN.defaults))
    shuffled = FeatureContract("test", tuple(WHOLE.columns[j] for j in order), "")
    assert matrix(shuffled, rows).tobytes() == matrix(WHOLE, rows)[:, order].tobytes()


def test_rows_are_not_changed(rows: Rows) -> None:
    before = {role: values.tobytes() for role, values in rows[0].items()}
    matrix(WHOLE, rows)
    assert {role: values.tobytes() for role, values in rows[0].items()} == before


def test_rows_may_be_read_only_views_into_one_buffer(rows: Rows) -> None:
    packed, as_of = rows
    views = {}
    for role, values in packed.items():
        wide = np.zeros((len(values), ROLES[role].width + 8), np.float32)
        wide[:, : values.shape[1]] = values
        wide.flags.writeable = False
        views[role] = wide[:, : values.shape[1]]
    assert matrix(WHOLE, (views, as_of)).tobytes() == matrix(WHOLE, rows).tobytes()


@pytest.mark.parametrize("n", [0, 1, BLOCK + 1])
def test_subjects_without_any_row_have_no_values(n: int) -> None:
    found = evaluate(WHOLE, missing(ROLES, n), np.zeros(n, np.int64), [None] * n)
    assert found.matrix.shape == (n, len(BUILTIN.defaults))
    assert np.isnan(found.matrix).all()
    assert (found.refused == -1).all()

"""The fold equals a brute-force recomputation from the events, on random histories with ties, lateness and edits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.declared.builtin import BUILTIN
from leads import clock
from leads.events import LoggedEvent
from tests.support.features.brute_force import expected
from tests.support.features.folding import fold, values_of
from tests.support.features.formulas import FORMULAS
from tests.support.features.random_history import SUBJECTS, history


def compare(events: list[LoggedEvent], as_of: int) -> None:
    found = values_of(fold([logged for logged in events if logged.visible_at <= as_of]), SUBJECTS, as_of)
    for i, subject in enumerate(SUBJECTS):
        wanted = expected(events, subject, as_of)
        for j, feature in enumerate(BUILTIN.defaults):
            value, right = float(found[i, j]), wanted[feature.name]
            assert value == pytest.approx(right, rel=2e-6, abs=1e-6, nan_ok=True), (feature.name, subject)


def test_the_brute_force_computes_every_stored_feature() -> None:
    assert list(FORMULAS) == [feature.name for feature in BUILTIN.defaults]


@pytest.mark.slow
@hypothesis_settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), later=st.sampled_from([0, 1, 299, 3_600, 80_000, 86_400 * 20]))
def test_the_fold_equals_a_recomputation(seed: int, n: int, later: int) -> None:
    events = history(seed, n)
    middle = events[len(events) // 2].visible_at
    compare(events, middle)
    compare(events, events[-1].visible_at + later * clock.SECOND)


def test_the_fold_equals_a_recomputation_on_a_busy_history() -> None:
    events = history(5, 1_500)
    compare(events, events[-1].visible_at + 7 * clock.HOUR)


def test_histories_are_not_trivial() -> None:
    events = history(5, 1_500)
    found = values_of(fold(events), SUBJECTS, events[-1].visible_at)
    assert (np.nan_to_num(found) > 0).any(axis=0).mean() > 0.6

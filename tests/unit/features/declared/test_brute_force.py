"""The fold equals a recomputation from the events, on random declarations of features and random histories."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.contract import Column, FeatureContract
from features.declared.compile import Declarations, compile_features
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import evaluate
from features.fold.fold import Batch, Fold
from features.layout import Matrix
from features.partition import Partition
from features.rows import is_possible, split
from features.state.sqlite import SqliteState
from leads import clock
from leads.events import Event, Happened, ItemCreated, LoggedEvent, SubjectRef
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.declaration import Platform
from leads.platform.features import AGGREGATIONS, OTHERS
from tests.support.features.declared.random_events import SUBJECTS, history
from tests.support.features.declared.random_platform import platform, platform_with
from tests.support.features.declared.reference import Reference
from tests.support.features.folding import fold, packed_of
from tests.support.features.random_history import START, TEXTS

random_worlds = given(
    seed=st.integers(0, 2**32),
    features=st.integers(1, 16),
    n=st.integers(1, 60),
    later=st.sampled_from([0, 1, 299, 3_600, 80_000, 86_400 * 20]),
)
WATCHED = hypothesis_settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def compiled(declared: Platform) -> FeatureSet:
    return compile_features(Declarations({**BUILT_IN_FEATURES, **declared.features}, declared.keys, {}), 7)


def everything(features: FeatureSet) -> FeatureContract:
    """A contract with the features that aren't default ones, too."""
    return FeatureContract("test", tuple(Column(one.name) for one in features.stored), "")


def values(batch: Batch, features: FeatureSet, as_of: int) -> Matrix:
    n = len(SUBJECTS)
    packed = packed_of(batch, SUBJECTS, features)
    return evaluate(everything(features), packed, np.full(n, as_of), [None] * n, features).matrix


def compare(declared: Platform, features: FeatureSet, events: list[LoggedEvent], as_of: int) -> None:
    known = [logged for logged in events if logged.visible_at <= as_of]
    found = values(fold(known, features=features), features, as_of)
    every = {**BUILT_IN_FEATURES, **declared.features}
    reference = Reference(every, declared.keys, known, as_of)
    for i, subject in enumerate(SUBJECTS):
        wanted = reference.of(subject)
        for j, feature in enumerate(features.stored):
            value, (right, slack) = float(found[i, j]), wanted[feature.name]
            alike = math.isnan(value) if math.isnan(right) else abs(value - right) <= slack
            said = every[feature.name].model_dump(exclude_none=True, exclude_defaults=True)
            assert alike, (feature.name, said, subject.key, value, right)


@pytest.mark.slow
@hypothesis_settings(WATCHED, max_examples=150)
@random_worlds
def test_the_fold_equals_a_recomputation(seed: int, features: int, n: int, later: int) -> None:
    rng = random.Random(seed)
    declared, events = platform(rng, features), history(rng, n)
    made = compiled(declared)
    compare(declared, made, events, events[len(events) // 2].visible_at)
    compare(declared, made, events, events[-1].visible_at + later * clock.SECOND)


def parts_of(rng: random.Random, events: list[LoggedEvent]) -> list[list[LoggedEvent]]:
    cuts = sorted({0, len(events), *(rng.randrange(len(events) + 1) for _ in range(rng.randint(1, 5)))})
    return [events[start:end] for start, end in pairwise(cuts)]


def rows_of(*batches: Batch) -> Counter[tuple[str, str, int, int, bytes]]:
    return Counter(
        (view, *row)
        for batch in batches
        for view, rows in batch.items()
        for row in zip(rows.keys, rows.offsets, rows.visible_at, rows.rows, strict=True)
    )


@pytest.mark.slow
@hypothesis_settings(WATCHED, max_examples=60)
@random_worlds
def test_restarts_and_partitions_do_not_change_a_row(seed: int, features: int, n: int, later: int) -> None:
    rng = random.Random(seed)
    declared, events = platform(rng, features), history(rng, n)
    made = compiled(declared)
    whole = rows_of(fold(events, features=made))
    state, batches = SqliteState(), []
    for part in parts_of(rng, events):
        folding = Fold(state, made)
        folding.apply(part)
        batches.append(folding.take())
        folding.commit(part[-1].offset)
    assert rows_of(*batches) == whole
    assert rows_of(*(fold(events, Partition(i, 2), made) for i in range(2))) == whole
    assert whole.total() == len(whole)


@pytest.mark.slow
@hypothesis_settings(WATCHED, max_examples=60)
@random_worlds
def test_subjects_are_evaluated_alike_alone_and_together(seed: int, features: int, n: int, later: int) -> None:
    rng = random.Random(seed)
    declared, events = platform(rng, features), history(rng, n)
    made = compiled(declared)
    packed, contract = packed_of(fold(events, features=made), SUBJECTS, made), everything(made)
    as_of = np.full(len(SUBJECTS), events[-1].visible_at + later * clock.SECOND)
    together = evaluate(contract, packed, as_of, [None] * len(SUBJECTS), made).matrix
    assert not np.isinf(together).any()
    for i in range(len(SUBJECTS)):
        one = {role: rows[i : i + 1] for role, rows in packed.items()}
        alone = evaluate(contract, one, as_of[i : i + 1], [None], made).matrix
        # A NaN's sign depends on whether any row was found, and means nothing.
        assert np.array_equal(alone[0], together[i], equal_nan=True)


@pytest.mark.slow
@hypothesis_settings(WATCHED, max_examples=60)
@random_worlds
def test_no_row_counts_as_damaged(seed: int, features: int, n: int, later: int) -> None:
    rng = random.Random(seed)
    made = compiled(platform(rng, features))
    for view, rows in fold(history(rng, n), features=made).items():
        layout = made.layout_of[view]
        for parts in split(layout, rows.rows):
            assert parts is not None
            assert is_possible(layout, parts)


def test_events_that_wait_for_an_older_item_count_where_they_belong() -> None:
    """Their item arrives after them, and happened before them."""
    ways = ({"max": "tip.amount"}, {"last": "tip.amount"}, {"distinct": "tip.who"}, {"mean": "tip.amount"})
    features = {
        f"{view}.made_{i}_{window}": {**way, "by": by, "window": window, "meaning": "made"}
        for view, by in (("account", "creator"), ("parent", "parent"), ("bucket", "text"))
        for i, way in enumerate(ways)
        for window in ("1h", "90d", "ever")
    }
    declared = platform_with(features, {})
    item, track = SubjectRef("comment", "c0"), SubjectRef("track", "t0")
    created = ItemCreated(item, account_id="a0", parent=track, text=TEXTS[2])
    tips = [Happened(item, "tip", f"a{i}", {"amount": float(i - 2)}) for i in range(4)]
    events = [
        *(LoggedEvent(i + 1, START + i, Event(f"e{i}", START + i - i * clock.HOUR, tip)) for i, tip in enumerate(tips)),
        LoggedEvent(9, START + 9, Event("e9", START - 30 * clock.DAY, created)),
    ]
    for later in (0, 50 * clock.MINUTE, 80 * clock.DAY):
        compare(declared, compiled(declared), events, START + 9 + later)


def test_random_platforms_have_features_of_every_way() -> None:
    ways = Counter(one.way for seed in range(40) for one in platform(random.Random(seed), 16).features.values())
    assert set(ways) == {*AGGREGATIONS, *OTHERS}


def test_random_histories_are_not_trivial() -> None:
    known, every = 0, 0
    for seed in range(5):
        rng = random.Random(seed)
        declared, events = platform(rng, 16), history(rng, 300)
        made = compiled(declared)
        found = values(fold(events, features=made), made, events[-1].visible_at)[:, len(BUILT_IN_FEATURES) :]
        known, every = known + (np.nan_to_num(found) != 0).any(axis=0).sum(), every + len(declared.features)
    assert known > 0.35 * every

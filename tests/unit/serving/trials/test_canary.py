"""A canary retreats when it fails, is slow or scores differently from the champion. An equal one stays."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads.policies import CanaryPolicy
from models.thresholds import Thresholds
from models.version import ModelVersion
from serving.trials.canary import CanaryWatch
from serving.trials.jobs import CanaryJob
from serving.trials.retreats import Retreats
from tests.support.serving.trial_world import HARM, make_version, rows_of
from tests.support.serving.world import POLICIES

KEY = (HARM, "2")
ROWS = 20


class Both(NamedTuple):
    champion: ModelVersion
    canary: ModelVersion


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("versions")
    champion = replace(make_version(folder / "1", "1"), thresholds=Thresholds(review=0.5, auto=0.9, why={}))
    return Both(champion, replace(champion, version="2"))


@pytest.fixture
def retreats(engine: Engine) -> Retreats:
    return Retreats(engine)


@pytest.fixture
def watch(retreats: Retreats) -> CanaryWatch:
    return CanaryWatch(POLICIES, retreats)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class Traffic:
    """Calls of 20 subjects, a tenth of them flagged. The canary's margins are the champion's plus noise and a shift."""

    def __init__(self, both: Both, *, seed: int = 0, shift: float = 0.0, noise: float = 0.4, slow: float = 1.0) -> None:
        self.both, self.shift, self.noise, self.slow = both, shift, noise, slow
        self.random = np.random.default_rng(seed)
        self.sent = 0

    def send(self, watch: CanaryWatch, calls: int) -> None:
        for _ in range(calls):
            margin = self.random.normal(-2.5, 2.0, size=ROWS)
            seen = logistic(margin + self.shift + self.random.normal(0, self.noise, size=ROWS))
            self.compare(watch, seen, logistic(margin))

    def compare(self, watch: CanaryWatch, canary: np.ndarray, champion: np.ndarray) -> None:
        n = len(champion)
        subjects = [f"account:{i}" for i in range(self.sent, self.sent + n)]
        self.sent += n
        job = CanaryJob(self.both.canary, self.both.champion, canary, subjects, rows_of(np.zeros((n, 1))), 0.001)
        took = np.exp(self.random.normal(0, 0.6, size=2))
        watch.compared(job, champion, np.arange(n), took_s=(float(took[0] * self.slow), float(took[1])))


@pytest.mark.slow
def test_equal_canaries_stay(both: Both, engine: Engine) -> None:
    left = 0
    for seed in range(200):
        retreats = Retreats(engine)
        Traffic(both, seed=seed).send(CanaryWatch(POLICIES, retreats), 200)
        left += bool(retreats.standing)
    assert left == 0


@pytest.mark.parametrize(
    ("difference", "word"),
    [
        ({"shift": 3.0}, "tier"),
        ({"shift": -9.0}, "flagged subjects"),
        ({"noise": 4.0}, "tier"),
        ({"slow": 6.0}, "times the champion's time"),
    ],
)
def test_canaries_that_differ_retreat(both: Both, engine: Engine, difference: dict[str, float], word: str) -> None:
    for seed in range(10):
        retreats = Retreats(engine)
        Traffic(both, seed=seed, **difference).send(CanaryWatch(POLICIES, retreats), 400)
        assert word in retreats.standing[KEY].why


def test_score_shifts_within_a_tier_count_too(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    Traffic(both).compare(watch, np.full(1_000, 0.4), np.full(1_000, 0.1))
    assert "differ by 0.30 on average" in retreats.standing[KEY].why


def test_nan_scores_count_as_the_largest_difference(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    Traffic(both).compare(watch, np.full(300, np.nan), np.full(300, 0.1))
    assert "differ by 1.00" in retreats.standing[KEY].why


def test_too_few_subjects_cause_no_retreat(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    few = POLICIES.harms[HARM].canary.at_least - 1
    traffic = Traffic(both)
    traffic.compare(watch, np.ones(few), np.zeros(few))
    assert not retreats.standing
    traffic.compare(watch, np.ones(1), np.zeros(1))
    assert retreats.standing


def test_one_subject_sent_many_times_counts_once(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    traffic = Traffic(both)
    for _ in range(1_000):
        traffic.sent = 0
        traffic.compare(watch, np.ones(1), np.zeros(1))
    assert not retreats.standing
    assert watch.snapshot()[0].compared == 1


def test_a_failing_canary_retreats_after_a_few_calls(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    for _ in range(10):
        watch.failed(both.canary, ValueError("a text that must not be logged"))
    why = retreats.standing[KEY].why
    assert why == "4 of 4 calls failed (last error: ValueError); the limit is 1.0%."
    assert watch.snapshot() == []


def test_failures_below_the_limit_cause_no_retreat(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    for n in range(5_000):
        watch.answered(both.canary)
        if n % 200 == 100:
            watch.failed(both.canary, ValueError())
    assert not retreats.standing
    (counts,) = watch.snapshot()
    assert (counts.harm, counts.version, counts.calls, counts.errors) == (*KEY, 5_025, 25)
    assert np.isnan(counts.tier_shift)


def test_a_canary_that_starts_failing_late_retreats(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    for _ in range(20_000):
        watch.answered(both.canary)
    for _ in range(3_000):
        watch.failed(both.canary, ValueError())
    assert retreats.standing


def test_a_new_champion_starts_a_new_comparison(both: Both, watch: CanaryWatch, retreats: Retreats) -> None:
    few = POLICIES.harms[HARM].canary.at_least - 1
    for number in ("1", "3", "4", "5"):
        champion = replace(both.champion, version=number)
        Traffic(Both(champion, both.canary)).compare(watch, np.ones(few), np.zeros(few))
    assert not retreats.standing


def test_a_new_trial_starts_without_the_observations_of_the_last_one(both: Both, engine: Engine) -> None:
    mine, other = Retreats(engine), Retreats(engine)
    watches = [CanaryWatch(POLICIES, one) for one in (mine, other)]
    few = POLICIES.harms[HARM].canary.at_least - 1
    for watch in watches:
        Traffic(both).compare(watch, np.ones(few), np.zeros(few))
    mine.retreat(*KEY, "seen here")
    mine.refresh()
    other.refresh()
    assert [watch.snapshot() for watch in watches] == [[], []]
    # Late results, of calls that were still running, don't count either.
    Traffic(both).compare(watches[1], np.ones(few), np.zeros(few))
    watches[1].failed(both.canary, ValueError())
    assert watches[1].snapshot() == []


def test_limits_come_from_the_policy(both: Both, engine: Engine) -> None:
    lax = CanaryPolicy(max_tier_shift=0.99, max_flagged_shift=0.99, max_score_shift=0.99, max_slowdown=100)
    harm = POLICIES.harms[HARM].model_copy(update={"canary": lax})
    policies = POLICIES.model_copy(update={"harms": {**POLICIES.harms, HARM: harm}})
    retreats = Retreats(engine)
    Traffic(both, shift=3.0, slow=6.0).send(CanaryWatch(policies, retreats), 400)
    assert not retreats.standing

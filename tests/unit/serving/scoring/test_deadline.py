"""Scoring stops at the request's deadline, and then has recorded nothing."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import pytest

from leads import clock
from leads.db import deadline
from leads.events import Subject
from leads.predictions.batch import PredictionBatch
from leads.settings import Settings
from serving.lineup import Canary, Lineup
from serving.runtime import Runtime
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectScore
from serving.scoring.scorer import Scorer
from serving.scoring.texts import cache as text_cache
from serving.scoring.texts.cache import TextCache, TextColumn
from serving.trials.jobs import TrialJob
from tests.support.serving.world import POLICIES, SPAM_TEXT, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")
REQUESTS = [ScoreRequest(Subject("comment", f"c{i}"), text=f"{SPAM_TEXT} {i}") for i in range(12)]
CAP = 200


class Sink:
    """Keeps predictions."""

    def __init__(self) -> None:
        self.batches: list[PredictionBatch] = []

    def append(self, batch: PredictionBatch) -> None:
        self.batches.append(batch)


class Fixed:
    """A line-up that never changes."""

    def __init__(self, lineup: Lineup) -> None:
        self._lineup = lineup

    def lineup(self) -> Lineup:
        return self._lineup


class Passing:
    """A deadline that passes at the n-th check."""

    def __init__(self, n: int) -> None:
        self.left = n

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise deadline.OutOfTime


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_cache, "_SLICE_TEXTS", 5)


@pytest.fixture
def jobs(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[TrialJob]:
    submitted: list[TrialJob] = []
    monkeypatch.setattr(runtime.trials, "submit", submitted.append)
    return submitted


@pytest.fixture
def lineup(settings: Settings, runtime: Runtime) -> Lineup:
    """Two harms judged by text, one of them with a canary."""
    champions = dict(runtime.published.lineup().champions)
    publish(settings, "spam", "2", seed=1)
    publish(settings, "harassment")
    runtime.published.refresh()
    newer = runtime.published.lineup().champions
    champions["harassment"] = newer["harassment"]
    return Lineup(MappingProxyType(champions), MappingProxyType({"spam": Canary(newer["spam"], 0.5)}))


def scores_of(scorer: Scorer) -> list[tuple[int, str, str, float]]:
    found = scorer.score(REQUESTS, NOW, "api").records()
    return [(x.index, x.harm, x.version, x.score) for x in found if isinstance(x, SubjectScore)]


def test_nothing_is_recorded_whenever_the_deadline_passes(
    runtime: Runtime,
    lineup: Lineup,
    jobs: list[TrialJob],
    small_slices: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scorer(sink: Sink) -> Scorer:
        return Scorer(runtime.engine, POLICIES, runtime.reader, Fixed(lineup), sink, runtime.trials)

    expected = scores_of(scorer(Sink()))
    assert {version for _, harm, version, _ in expected if harm == "spam"} == {"1", "2"}
    expected_jobs = len(jobs)
    stopped = 0
    for n in range(1, CAP):
        sink = Sink()
        jobs.clear()
        monkeypatch.setattr(deadline, "check", Passing(n).check)
        try:
            found = scores_of(scorer(sink))
        except deadline.OutOfTime:
            stopped += 1
            assert not sink.batches
            assert not jobs
            continue
        assert found == expected
        assert len(sink.batches) == 3
        assert len(jobs) == expected_jobs
        break
    # Look-up, features, and for each of three groups at least: evaluate, text, predict, answer, log.
    assert 17 < stopped < CAP - 1
    assert all(counts.errors == 0 for counts in runtime.trials.watch.snapshot())


def test_a_request_past_its_deadline_is_not_scored(runtime: Runtime) -> None:
    token = deadline.set_deadline(60)
    try:
        deadline.expire()
        with pytest.raises(deadline.OutOfTime):
            runtime.scorer.score(REQUESTS, NOW, "api")
    finally:
        deadline.reset(token)
    # Work that belongs to no request, such as the worker's, has no deadline.
    deadline.expire()
    assert runtime.scorer.score(REQUESTS, NOW, "worker").groups


@pytest.mark.parametrize(("texts", "chars"), [(1, 10_000), (3, 10_000), (128, 1), (128, 15)])
def test_values_computed_in_slices_are_the_same(monkeypatch: pytest.MonkeyPatch, texts: int, chars: int) -> None:
    column = TextColumn.of([None if i % 7 == 3 else "word " * (i % 5) + str(i % 11) for i in range(40)])

    def compute(new: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in new], np.float32)

    whole = TextCache()
    expected = whole.scores("spam:1", column, compute), whole.counts(column), whole.hashes(column)
    monkeypatch.setattr(text_cache, "_SLICE_TEXTS", texts)
    monkeypatch.setattr(text_cache, "_SLICE_CHARS", chars)
    sliced = TextCache()
    np.testing.assert_array_equal(sliced.scores("spam:1", column, compute), expected[0])
    np.testing.assert_array_equal(sliced.counts(column), expected[1])
    assert sliced.hashes(column) == expected[2]


def test_what_was_computed_before_the_deadline_is_not_computed_again(
    small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = TextColumn.of([f"text {i}" for i in range(12)])
    asked: list[int] = []

    def compute(new: Sequence[str]) -> np.ndarray:
        asked.append(len(new))
        return np.zeros(len(new), np.float32)

    cache = TextCache()
    monkeypatch.setattr(deadline, "check", Passing(3).check)
    with pytest.raises(deadline.OutOfTime):
        cache.scores("spam:1", column, compute)
    assert asked == [5, 5]
    cache.scores("spam:1", column, compute)
    assert asked == [5, 5, 2]

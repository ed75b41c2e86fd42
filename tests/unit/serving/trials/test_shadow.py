"""Shadow scoring accepts what fits its queue and budget, and its failures affect nothing else."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from models.scores import Scores
from models.version import ModelVersion
from serving.trials.canary import CanaryWatch
from serving.trials.jobs import ChallengerJob, Places, ShadowRows
from serving.trials.retreats import Retreats
from serving.trials.shadow import Shadow
from tests.support.serving.trial_world import HARM, behaving, draw, make_version, paired, rows_of, shadowed
from tests.support.serving.world import POLICIES


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    return make_version(tmp_path_factory.mktemp("version") / "v", "3")


@pytest.fixture
def retreats(engine: Engine) -> Retreats:
    return Retreats(engine)


@pytest.fixture
def watch(retreats: Retreats) -> CanaryWatch:
    return CanaryWatch(POLICIES, retreats)


class Time:
    """A clock that advances only when someone works or sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def test_a_challenger_scores_the_rows_of_its_job(version: ModelVersion, watch: CanaryWatch) -> None:
    shadow = Shadow(watch, share=1.0)
    features = draw(version, 150)
    seen: list[tuple[Scores, Places]] = []
    # The contract's rules refuse two of the subjects.
    kept = np.delete(np.arange(150), [3, 70])
    job = ChallengerJob(
        version, 150, lambda contract: ShadowRows(features[kept], [None] * 148, kept), lambda s, p: seen.append((s, p))
    )
    assert shadow.offer(job)
    assert shadow.snapshot().waiting == 150
    assert shadow.step()
    assert not shadow.step()
    ((scores, places),) = seen
    expected = version.score(features[kept], [None] * 148)
    for ours, theirs in zip(scores, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(places, kept)
    counts = shadow.snapshot()
    assert (counts.scored, counts.failed, counts.dropped, counts.waiting) == (148, 0, 0, 0)


def test_a_full_queue_drops_and_counts(version: ModelVersion, watch: CanaryWatch) -> None:
    shadow = Shadow(watch, capacity=100)
    assert shadow.offer(shadowed(version, 60))
    assert not shadow.offer(shadowed(version, 41))
    assert shadow.offer(shadowed(version, 40))
    assert not shadow.offer(shadowed(version, 1))
    assert (shadow.snapshot().waiting, shadow.snapshot().dropped) == (100, 42)
    # Canaries have their own queue, and go first.
    assert shadow.offer(paired(replace(version, version="2"), version, 5))
    assert shadow.step()
    assert (shadow.snapshot().compared, shadow.snapshot().scored) == (5, 0)
    shadow.stop()
    assert (shadow.snapshot().dropped, shadow.snapshot().waiting) == (142, 0)
    assert not shadow.offer(shadowed(version))


def test_a_challenger_that_hangs_blocks_no_caller(version: ModelVersion, watch: CanaryWatch) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        go_on.wait(60)

    shadow = Shadow(watch, capacity=10)
    shadow.start()
    shadow.offer(shadowed(behaving(version, hang)))
    assert began.wait(20)
    taken = [shadow.offer(shadowed(version)) for _ in range(50)]
    assert taken == [True] * 10 + [False] * 40
    go_on.set()
    deadline = time.monotonic() + 20
    while shadow.snapshot().scored < 11 and time.monotonic() < deadline:
        time.sleep(0.02)
    shadow.stop()
    assert (shadow.snapshot().scored, shadow.snapshot().dropped) == (11, 40)
    assert not any(thread.name == "shadow" for thread in threading.enumerate())


def test_shadow_work_stays_within_its_share_of_time(version: ModelVersion, watch: CanaryWatch) -> None:
    clock = Time()
    slow = behaving(version, lambda: clock.pass_(0.05))
    shadow = Shadow(watch, share=0.1, capacity=10_000, timer=clock, pause=clock.pass_)
    for _ in range(100):
        shadow.offer(shadowed(slow))
    # A single job with many rows must not overrun the budget.
    shadow.offer(shadowed(slow, 1_000))
    while shadow.step():
        pass
    counts = shadow.snapshot()
    assert counts.scored == 1_100
    assert counts.busy_s == pytest.approx(100 * 0.05 + 16 * 0.05)
    assert counts.busy_s <= 0.1 * clock.now + 0.3
    assert counts.busy_s >= 0.1 * clock.now * 0.9


def test_stop_does_not_wait_for_the_budget(version: ModelVersion, watch: CanaryWatch) -> None:
    clock = Time()
    started = threading.Event()

    def work() -> None:
        clock.pass_(1e6)
        started.set()

    shadow = Shadow(watch, timer=clock)
    shadow.offer(shadowed(behaving(version, work), 1_000))
    shadow.start()
    assert started.wait(20)
    shadow.stop()
    assert (shadow.snapshot().scored, shadow.snapshot().dropped) == (0, 1_000)


def test_a_failing_challenger_is_counted_and_logged_once(
    version: ModelVersion, watch: CanaryWatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("a text that must not be logged")

    def fail_to_log(scores: Scores, places: Places) -> None:
        raise OSError

    shadow = Shadow(watch, share=1.0)
    for _ in range(3):
        shadow.offer(shadowed(behaving(version, fail), 2))
    shadow.offer(shadowed(version, 1, fail_to_log))
    shadow.offer(shadowed(version))
    with caplog.at_level(logging.WARNING):
        while shadow.step():
            pass
    assert (shadow.snapshot().failed, shadow.snapshot().scored) == (7, 1)
    assert [record.message for record in caplog.records] == [f"{HARM} version 3 failed in shadow scoring: ValueError"]


def test_the_champion_scores_the_subjects_a_canary_answered_for(
    version: ModelVersion, watch: CanaryWatch, tmp_path: Path
) -> None:
    canary = make_version(tmp_path / "other", "4", seed=5)
    shadow = Shadow(watch, share=1.0)
    shadow.offer(paired(canary, version, 40))
    shadow.offer(paired(canary, version, 40, first=40))
    while shadow.step():
        pass
    (counts,) = watch.snapshot()
    assert (counts.version, counts.compared) == ("4", 80)
    apart = []
    for first in (0, 40):
        features = draw(version, 40, seed=first)
        both = [one.score(features, [None] * 40).score for one in (version, canary)]
        apart.append(np.abs(both[0] - both[1]))
    assert counts.score_shift == pytest.approx(np.concatenate(apart).mean())
    assert counts.score_shift > 0


def test_champion_and_canary_are_timed_on_the_same_subjects(
    version: ModelVersion, watch: CanaryWatch, retreats: Retreats
) -> None:
    clock = Time()
    champion = behaving(version, lambda: clock.pass_(0.001))
    equal, slow = (
        behaving(replace(version, version=n), lambda s=s: clock.pass_(s)) for n, s in (("7", 0.002), ("8", 0.004))
    )
    shadow = Shadow(watch, capacity=10_000, timer=clock, pause=clock.pass_)
    for first in range(250):
        for canary in (equal, slow):
            shadow.offer(paired(canary, champion, first=first))
    while shadow.step():
        pass
    assert list(retreats.standing) == [(HARM, "8")]
    assert "3 times the champion's time" in retreats.standing[HARM, "8"].why


def test_subjects_that_the_champions_contract_refuses_are_not_compared(
    version: ModelVersion, watch: CanaryWatch
) -> None:
    canary = replace(version, version="2")
    job = paired(canary, version, 10)
    features = draw(version, 10)
    nothing = ShadowRows(features[:0], [], np.arange(0))
    shadow = Shadow(watch, share=1.0)
    shadow.offer(replace(job, rows_for=lambda contract: nothing))
    some = iter([ShadowRows(features[[2, 5]], [None] * 2, np.array([2, 5])), rows_of(features)(version.contract)])
    shadow.offer(replace(job, rows_for=lambda contract: next(some)))
    while shadow.step():
        pass
    assert watch.snapshot()[0].compared == 2

"""Canaries and challengers in real scoring calls: which version serves, what is compared, what is logged."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.events import Subject
from leads.predictions.log import read_predictions
from leads.settings import Settings
from models.scores import Scores
from models.version import ModelVersion
from serving.lineup import Canary, Lineup
from serving.runtime import Runtime
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectScore
from serving.scoring.scorer import Scorer
from serving.scoring.stages import Stages
from serving.trials.jobs import CanaryJob, TrialJob
from tests.support.serving.world import POLICIES, SPAM_TEXT, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")
REQUESTS = [ScoreRequest(Subject("comment", f"c{i}"), ("spam",), text=f"{SPAM_TEXT} {i}") for i in range(40)]


class Fixed:
    """A line-up that never changes."""

    def __init__(self, lineup: Lineup) -> None:
        self._lineup = lineup

    def lineup(self) -> Lineup:
        return self._lineup


def other(settings: Settings, runtime: Runtime) -> ModelVersion:
    """Publish a second version of spam and return it."""
    publish(settings, "spam", "2", seed=1)
    runtime.published.refresh()
    return runtime.published.lineup().champions["spam"]


def scorer_with(runtime: Runtime, lineup: Lineup) -> Scorer:
    log = runtime.predictions
    return Scorer(runtime.engine, POLICIES, runtime.reader, Fixed(lineup), log, runtime.trials)


def answers(scorer: Scorer) -> list[SubjectScore]:
    found = scorer.score(REQUESTS, NOW, "api").records()
    assert all(isinstance(x, SubjectScore) for x in found)
    return [x for x in found if isinstance(x, SubjectScore)]


def test_a_canary_answers_for_its_share_and_the_champion_is_compared(settings: Settings, runtime: Runtime) -> None:
    first = runtime.published.lineup().champions
    canary = Canary(other(settings, runtime), 0.3)
    scorer = scorer_with(runtime, Lineup(first, MappingProxyType({"spam": canary})))
    found = answers(scorer)
    assert [x.index for x in found] == list(range(40))
    by_role = {role: {x.subject for x in found if x.role == role} for role in ("champion", "canary")}
    assert by_role["canary"] == {x.subject for x in REQUESTS if canary.takes(x.subject.key)}
    assert 0 < len(by_role["canary"]) < len(by_role["champion"])
    assert {(x.role, x.version) for x in found} == {("champion", "1"), ("canary", "2")}
    assert [x.subject for x in answers(scorer)] == [x.subject for x in found]
    while runtime.trials.shadow.step():
        pass
    assert runtime.trials.shadow.snapshot().compared == 2 * len(by_role["canary"])
    (counts,) = runtime.trials.watch.snapshot()
    assert (counts.harm, counts.version, counts.calls, counts.errors) == ("spam", "2", 2, 0)
    # Subjects sent twice are compared once.
    assert counts.compared == len(by_role["canary"])


def test_a_canarys_time_is_that_of_its_own_text_and_predict_stages(
    settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runtime.published.lineup().champions
    scorer = scorer_with(runtime, Lineup(first, MappingProxyType({"spam": Canary(other(settings, runtime), 0.3)})))
    jobs: list[TrialJob] = []
    monkeypatch.setattr(runtime.trials, "submit", jobs.append)
    stages = Stages()
    scorer.score(REQUESTS, NOW, "api", explained="all", stages=stages)
    (job,) = jobs
    assert isinstance(job, CanaryJob)
    # The champion's group is scored first, the canary's second.
    assert [x.name for x in stages.done].count("predict") == 2
    _, text = (x for x in stages.done if x.name == "text")
    _, predict = (x for x in stages.done if x.name == "predict")
    assert job.took_s == text.seconds + predict.seconds > 0


def test_the_champion_answers_for_a_canary_that_fails(
    settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runtime.published.lineup().champions
    broken = dataclasses.replace(other(settings, runtime))

    def fails(self: ModelVersion, vector: np.ndarray) -> Scores:
        if self is broken:
            raise RuntimeError("boom")
        return right(self, vector)

    right = ModelVersion.score_vector
    monkeypatch.setattr(ModelVersion, "score_vector", fails)
    scorer = scorer_with(runtime, Lineup(first, MappingProxyType({"spam": Canary(broken, 0.5)})))
    found = answers(scorer)
    assert sorted(x.index for x in found) == list(range(40))
    assert {(x.role, x.version) for x in found} == {("champion", "1")}
    for _ in range(9):
        answers(scorer)
    (retreat,) = runtime.published.retreats.standing.values()
    assert (retreat.harm, retreat.version) == ("spam", "2")
    assert "RuntimeError" in retreat.why


def test_a_challenger_scores_in_shadow_and_appears_only_in_the_log(settings: Settings, runtime: Runtime) -> None:
    first = runtime.published.lineup().champions
    challenger = other(settings, runtime)
    scorer = scorer_with(runtime, Lineup(first, challengers=MappingProxyType({"spam": challenger})))
    assert {x.version for x in answers(scorer)} == {"1"}
    while runtime.trials.shadow.step():
        pass
    runtime.predictions.flush()
    rows = read_predictions(settings.predictions_dir, "spam").to_pylist()
    by_role = {role: [row for row in rows if row["role"] == role] for role in ("champion", "challenger")}
    assert [len(x) for x in by_role.values()] == [40, 40]
    assert {row["model_version"] for row in by_role["challenger"]} == {"2"}
    assert {row["subject_id"] for row in by_role["challenger"]} == {x.subject.id for x in REQUESTS}
    for row in by_role["challenger"][:5]:
        again = challenger.score_vector(np.array([row["vector"]], np.float32))
        assert float(again.score[0]) == pytest.approx(row["score"], abs=1e-9)


def test_challengers_do_not_score_while_the_store_is_down(settings: Settings, runtime: Runtime, engine: Engine) -> None:
    from leads.errors import Unavailable

    first = runtime.published.lineup().champions
    challenger = other(settings, runtime)
    runtime.reader.error = Unavailable("down")  # type: ignore[attr-defined]
    scorer = scorer_with(runtime, Lineup(first, challengers=MappingProxyType({"spam": challenger})))
    assert len(answers(scorer)) == 40
    assert not runtime.trials.shadow.step()

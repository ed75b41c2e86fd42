"""A label is trained on an instant at which the worker would have scored its subject: no other row is ever served."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import Engine

from features.materialize import Materializer
from features.online.reader import open_reader
from leads.clock import Micros
from leads.db import event_log
from leads.events import DecisionMade, ItemCreated, LoggedEvent, Played, Subject, SubjectRef
from leads.policies import Policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings, load_settings
from serving.scoring.inputs import ScoreRequest
from serving.scoring.scorer import Scorer
from serving.versions.published import PublishedVersions
from serving.worker.worker import Worker
from tests.support.features.random_history import SUBJECTS, history
from tests.support.serving.world import POLICIES, publish
from training.data.history import History

EVENTS = 150
TYPES = ("comment", "track", "account")


class RecordingScorer:
    """The real scorer, and when it gave each subject a score."""

    def __init__(self, inner: Scorer) -> None:
        self._inner = inner
        self.scored: dict[Subject, list[Micros]] = defaultdict(list)

    def score(self, requests: Sequence[ScoreRequest], as_of: Micros, source: Any, **options: Any) -> Any:
        scored = self._inner.score(requests, as_of, source, **options)
        for group in scored.groups:
            for record in group.records():
                self.scored[record.subject].append(as_of)
        return scored


def known(settings: Settings) -> History:
    """Of harms that are decided about subjects of every type."""
    harms = {harm: POLICIES.harms[harm].model_copy(update={"subject_types": TYPES}) for harm in POLICIES.harms}
    return History(settings, harms)


def policies() -> Policies:
    """`stream_manipulation` judges tracks too, so that there is a subject type of each kind."""
    harm = POLICIES.harms["stream_manipulation"].model_copy(update={"subject_types": ("account", "track")})
    return POLICIES.model_copy(update={"harms": {**POLICIES.harms, "stream_manipulation": harm}})


def events(seed: int) -> list[LoggedEvent]:
    """A random history whose decisions are about comments, tracks and accounts alike."""
    rng = random.Random(seed)
    found = []
    for logged in history(seed, EVENTS):
        body = logged.event.body
        if isinstance(body, DecisionMade):
            subject = rng.choice(SUBJECTS)
            body = msgspec.structs.replace(body, subject=SubjectRef(subject.type_id, subject.id), by="human")
        elif isinstance(body, ItemCreated) and rng.random() < 0.3:
            body = ItemCreated(SubjectRef("track", f"t{rng.randrange(3)}"), account_id="a1", text="A song")
        found.append(logged._replace(event=msgspec.structs.replace(logged.event, body=body)))
    return found


def append(engine: Engine, logged: LoggedEvent) -> None:
    with engine.begin() as connection:
        event_log.append(connection, "test", [logged.event], clock_=lambda: logged.visible_at)


def run_worker(settings: Settings, engine: Engine, history: Sequence[LoggedEvent]) -> RecordingScorer:
    """A worker on the live tail that meets each event before the next one arrives."""
    published = PublishedVersions(settings, policies(), engine)
    published.refresh()
    reader, log = open_reader(settings), PredictionLog(settings.predictions_dir, owner="worker")
    recording = RecordingScorer(Scorer(engine, policies(), reader, published, log))
    worker = Worker(policies(), engine, recording, published, Materializer(settings, engine))  # type: ignore[arg-type]
    for logged in history:
        append(engine, logged)
        while worker.step():
            pass
    reader.close()
    log.close()
    return recording


@pytest.fixture
def home(settings: Settings) -> Settings:
    publish(settings, "spam")
    publish(settings, "stream_manipulation")
    return load_settings(home=settings.root, corpora="none", online_flush_s=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_each_label_is_trained_on_the_worker_s_last_scoring_before_its_verdict(
    home: Settings, engine: Engine, seed: int
) -> None:
    recording = run_worker(home, engine, events(seed))
    trained: set[str] = set()
    history = known(home)
    for harm in ("spam", "sexism"):
        found = history.scored(engine, harm)
        instants = {(label.subject, label.at): at for label, at in zip(found.labels, found.as_of.tolist(), strict=True)}
        for label in history.decided(engine, harm):
            before = [scored for scored in recording.scored[label.subject] if scored < label.at]
            at = instants.get((label.subject, label.at))
            assert at == (before[-1] if before else None), label
            if at is not None:
                trained.add(label.subject.type_id)
    assert trained == set(TYPES)


def test_an_account_that_never_was_a_lead_is_trained_on_its_last_play(settings: Settings, engine: Engine) -> None:
    account, track = SubjectRef("account", "a1"), SubjectRef("track", "t1")
    bodies = [
        Played(track, "a1", 31.0),
        Played(track, "a1", 32.0),
        DecisionMade(account, "stream_manipulation", "violating", "human", "r1"),
        Played(track, "a1", 33.0),
    ]
    first = history(0, 1)[0]
    for i, body in enumerate(bodies):
        event = msgspec.structs.replace(first.event, id=f"x{i}", body=body)
        append(engine, LoggedEvent(i, first.visible_at + i, event))
    assert known(settings).scored(engine, "stream_manipulation").as_of.tolist() == [first.visible_at + 1]

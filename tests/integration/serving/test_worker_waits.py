"""While the store doesn't respond, the worker waits, and then makes the same leads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy.engine import Engine

from features.links import Links
from features.materialize import Materializer
from features.online.reader import Fetched, OnlineReader, open_reader
from leads import clock
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.versions.published import PublishedVersions
from serving.worker.worker import Worker
from tests.support.serving.world import POLICIES, SPAM_TEXT, publish

pytestmark = pytest.mark.slow


class Silent:
    """A reader whose store takes the question and says nothing until it is let go."""

    def __init__(self, inner: OnlineReader) -> None:
        self._inner = inner
        self.speaks = threading.Event()

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        self.speaks.wait()
        return self._inner.fetch(subjects, known)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def silent(settings: Settings) -> Iterator[Silent]:
    made = Silent(open_reader(settings))
    yield made
    made.speaks.set()


def until_scored(worker: Worker) -> None:
    """Step until a lead is there; before its rows are online the worker doesn't ask for them."""
    while worker.progress.opened == 0:
        worker.step()


def test_a_worker_waits_for_the_store_rather_than_score_without_it(
    settings: Settings, engine: Engine, silent: Silent
) -> None:
    publish(settings, "spam")
    now = clock.now()
    body = ItemCreated(SubjectRef("comment", "c1"), account_id="a1", text=SPAM_TEXT)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event("e1", now, body)])
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    log = PredictionLog(settings.predictions_dir, owner="worker")
    guard = GuardedReader(silent, timeout_s=0.05)
    worker = Worker(
        POLICIES, engine, Scorer(engine, POLICIES, guard, published, log), published, Materializer(settings, engine)
    )
    for _ in range(5):
        with pytest.raises(Unavailable):
            until_scored(worker)
    with reading(engine) as connection:
        assert cursors.scored(connection, 1) == 0
    assert worker.progress.opened == 0
    silent.speaks.set()
    guard._timeout_s = 30.0
    while worker.progress.opened == 0:
        with contextlib.suppress(Unavailable):
            until_scored(worker)
    assert worker.progress.scored == 1
    guard.close()
    log.close()

"""While a store doesn't respond, the worker waits, and then makes the same leads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from features import materialize
from features.links import Links
from features.materialize import Materializer
from features.online.reader import Fetched, OnlineReader, open_reader
from leads import clock
from leads.clock import Micros
from leads.db import cursors, event_log
from leads.db.engine import open_engine, reading
from leads.db.tables import leads
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, RecordedEvent, Subject, SubjectRef
from leads.predictions.log import PredictionLog
from leads.settings import Settings, load_settings
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.versions.published import PublishedVersions
from serving.worker import worker as worker_module
from serving.worker.worker import Worker
from tests.support.features.flaky_state import FlakyStores
from tests.support.serving.world import BENIGN_TEXT, POLICIES, SPAM_TEXT, publish

pytestmark = pytest.mark.slow


class Silent:
    """A reader whose store takes the question and says nothing until it is let go."""

    def __init__(self, inner: OnlineReader) -> None:
        self._inner = inner
        self.speaks = threading.Event()
        self.features, self.use = inner.features, inner.use

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


N = 600


def leads_of(home: Path, start: Micros, stores: FlakyStores, failing: float) -> list[tuple[Any, ...]]:
    """The leads that a worker opens for a backlog of nine hours while this share of the calls to its state fails."""
    settings = load_settings(home=home, corpora="", online_flush_s=0.001, segment_flush_s=0.001)
    publish(settings, "spam")
    engine = open_engine(settings)
    history = []
    for i in range(N):
        text, at = (SPAM_TEXT, BENIGN_TEXT)[i % 2], start + i * 54 * clock.SECOND
        body = ItemCreated(SubjectRef("comment", f"c{i % 400}"), account_id=f"a{i % 7}", text=text)
        history.append(RecordedEvent(f"e{i}", at, at, body))
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", history)
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    log = PredictionLog(settings.predictions_dir, owner="worker")
    materializer = Materializer(settings, engine, read=20)
    reader = GuardedReader(open_reader(settings), timeout_s=30.0)
    worker = Worker(POLICIES, engine, Scorer(engine, POLICIES, reader, published, log), published, materializer)

    def unfinished() -> bool:
        with reading(engine) as connection:
            left = cursors.scored(connection, 1) < N
        # Not while the worker stops: it would end with the error, and the next one would continue.
        stores.share = failing if left else 0.0
        return left

    worker.run(unfinished)
    reader.close()
    log.close()
    materializer.close()
    columns = (leads.c.id, leads.c.score, leads.c.state, leads.c.created_at, leads.c.scored_at, leads.c.rank)
    with reading(engine) as connection:
        found = [tuple(row) for row in connection.execute(sa.select(*columns).order_by(leads.c.id))]
    engine.dispose()
    return found


def test_a_worker_whose_state_store_fails_makes_the_same_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = FlakyStores()
    monkeypatch.setattr(materialize, "open_state", stores)
    monkeypatch.setattr(materialize, "_CHANGES", 40)
    monkeypatch.setattr(worker_module.time, "sleep", lambda seconds: None)
    start = clock.now() - clock.DAY
    expected = leads_of(tmp_path / "undisturbed", start, stores, failing=0.0)
    assert len(expected) == 200
    assert leads_of(tmp_path / "disturbed", start, stores, failing=0.03) == expected
    assert stores.opened > 3

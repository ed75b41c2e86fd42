"""A worker that starts on a long log: what it has folded is saved as it goes, and it continues after it was stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN
from features.materialize import Materializer
from features.online.reader import open_reader
from features.state.fence import new_owner
from features.state_stores import open_state
from leads.predictions.log import PredictionLog
from leads.settings import Settings, load_settings
from serving.scoring.scorer import Scorer
from serving.versions.published import PublishedVersions
from serving.worker.worker import Worker
from tests.support.features.history import assert_served_alike, log_history, segment_rows, served
from tests.support.serving.world import POLICIES

N = 1_500


@pytest.fixture
def make(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[Worker, Materializer]]:
    """Makes a worker without any version, which saves its state often."""
    monkeypatch.setattr("features.materialize._CHANGES", 400)

    def made() -> tuple[Worker, Materializer]:
        materializer = Materializer(settings, engine, read=100)
        published = PublishedVersions(settings, POLICIES, engine)
        log = PredictionLog(settings.predictions_dir, owner="worker")
        scorer = Scorer(engine, POLICIES, open_reader(settings), published, log)
        return Worker(POLICIES, engine, scorer, published, materializer), materializer

    return made


def test_a_first_pass_is_saved_as_it_goes_and_is_online_at_its_end(
    settings: Settings,
    engine: Engine,
    make: Callable[[], tuple[Worker, Materializer]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    head = log_history(engine, N)
    undisturbed = load_settings(home=tmp_path_factory.mktemp("undisturbed"), corpora="")
    worker, materializer = make()
    for _ in range(8):
        worker.step()
    state = open_state(settings, materializer.partition, BUILTIN, owner=new_owner())
    saved = state.position()
    state.close()
    assert 0 < saved <= 800
    # Nothing is online yet, so nobody reads half of a history.
    assert not served(settings, head)[1].any()

    # Killed here: another one takes over.
    worker, materializer = make()
    assert materializer.offset == saved
    while worker.step():
        pass
    while not materializer.step().online:
        pass
    materializer.flush()
    other = Materializer(undisturbed, engine)
    other.run_to_head()
    assert_served_alike(settings, undisturbed, head)
    assert segment_rows(settings) == segment_rows(undisturbed)
    assert served(settings, head)[1].any()

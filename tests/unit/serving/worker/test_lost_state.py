"""A worker whose state was lost logs how many events it folds again. One that has stopped says to run it again."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.engine import Engine

from features.materialize import Materializer
from leads.errors import Unavailable
from leads.settings import Settings
from serving.worker import run
from tests.support.features.history import log_history

# Importing Feast takes seconds.
pytestmark = pytest.mark.slow


def test_a_worker_with_an_empty_state_says_how_much_it_folds_again(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_GAP", 100)
    log_history(engine, 300)
    (share,) = run.chosen_partitions(settings, None)
    caplog.set_level(logging.WARNING, logger=run.__name__)
    run.run_once(settings, [share])
    run.run_once(settings, [share])
    assert caplog.messages == []
    for path in settings.features_dir.glob("state-*"):
        path.unlink()
    assert run.run_once(settings, [share]).offset == 300
    (message,) = caplog.messages
    assert "the state of partition 0 of 1 ends at event 0, its segments end at event 300" in message


def test_one_run_that_meets_a_changed_state_asks_to_be_repeated(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(materializer: Materializer, **_: object) -> None:
        raise Unavailable(
            "The state has changed.", field="LEADS_STATE_STORE", remedy="The worker folds the events again."
        )

    monkeypatch.setattr(Materializer, "run_to_head", changed)
    with pytest.raises(Unavailable, match=r"The state has changed\. Run the command again: it continues"):
        run.run_once(settings, run.chosen_partitions(settings, None))

"""Workers of two homes write one online store in turn: rows never go back in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import materialize
from features.materialize import Materializer
from leads import clock
from leads.db.engine import open_engine
from leads.settings import Settings, load_settings
from tests.support.features.history import assert_served_alike, log_history, segment_rows

N, EARLIER, LATER = 1_200, 500, 900

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _always_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialize, "_CHECK_S", 0.0)


def fold(settings: Settings, up_to: int) -> Materializer:
    """Fold up to an event, as a worker does, and write everything."""
    materializer = Materializer(settings, open_engine(settings), read=50)
    while materializer.offset < up_to:
        materializer.step(by=clock.HOUR, until=up_to)
        materializer.save()
    return materializer


def close(materializer: Materializer) -> None:
    materializer.flush()
    materializer.close()


def test_a_worker_that_is_behind_another_homes_writes_no_older_rows(tmp_path: Path, redis_address: str) -> None:
    alone = load_settings(home=tmp_path / "alone", corpora="none")
    head = log_history(open_engine(alone), N)
    close(fold(alone, N))
    one, other = (
        load_settings(
            home=tmp_path / name,
            corpora="none",
            database_url=alone.database,
            online_store="redis",
            redis_url=redis_address,
            online_flush_s=0.001,
            segment_flush_s=0.001,
        )
        for name in ("one", "other")
    )
    close(fold(one, EARLIER))
    # The second home begins with an empty one: it folds everything.
    close(fold(other, N))
    assert_served_alike(other, alone, head)
    # The first one comes back, and is behind what is online.
    behind = fold(one, LATER)
    assert_served_alike(one, alone, head)
    close(behind)
    assert_served_alike(one, alone, head)
    close(fold(one, N))
    assert_served_alike(one, alone, head)
    assert segment_rows(one) == segment_rows(other) == segment_rows(alone)

"""Rows that an earlier release stored: they are read as they are, and rewritten while the platform works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.declared.builtin import BUILTIN, LAYOUTS
from features.materialize import Materializer
from features.offline.frames import Frame, point_in_time
from features.offline.segments import Segments
from features.online.mark import mark_path
from features.partition import WHOLE
from leads import clock
from leads.db.engine import open_engine
from leads.settings import Settings, load_settings
from tests.support.features.dense_home import dense_left, make_dense
from tests.support.features.history import CONTRACT, SUBJECTS, assert_served_alike, log_history
from tests.support.skew_world import PORTIONS, SkewWorld, columns_of

pytestmark = pytest.mark.slow
N = 3_000


def folded(settings: Settings) -> int:
    """A home with a history in several segments; returns when its newest event became visible."""
    engine = open_engine(settings)
    head = log_history(engine, N)
    materializer = Materializer(settings, engine, read=700)
    while materializer.step().events:
        materializer.flush()
    materializer.close()
    engine.dispose()
    return head


def frame(settings: Settings, head: int) -> Frame:
    instants = np.linspace(head - 2 * clock.DAY, head, len(SUBJECTS)).astype(np.int64)
    return point_in_time(settings, CONTRACT, SUBJECTS, [None] * len(SUBJECTS), instants)


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_old_rows_are_read_and_then_rewritten(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue("redis_address") if store == "redis" else None
    new = load_settings(home=tmp_path / "new", corpora="")
    old = load_settings(home=tmp_path / "old", corpora="", online_store=store, redis_url=address)
    head = folded(new)
    assert folded(old) == head
    make_dense(old)

    def assert_alike() -> None:
        assert_served_alike(old, new, head)
        np.testing.assert_array_equal(frame(old, head).matrix, frame(new, head).matrix)
        np.testing.assert_array_equal(frame(old, head).row_at, frame(new, head).row_at)

    assert_alike()
    engine = open_engine(old)
    materializer = Materializer(old, engine, read=700)
    # Folds the log again, because there is no state, and then rewrites the rows, some with each step.
    for _ in range(8):
        materializer.step()
        assert_alike()
    materializer.flush()
    assert b'"form":2' in mark_path(old, WHOLE, BUILTIN).read_bytes()
    assert store == "redis" or dense_left(old) == 0
    assert_alike()
    while materializer.segments.compact():
        assert_alike()
    listed = Segments(old.features_dir / "segments").manifest().segments
    assert all(name.startswith("packed/") for layout in LAYOUTS for name in listed[layout.view])
    materializer.close()
    engine.dispose()


def test_no_skew_before_during_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.state.sqlite._SCANNED", 25)
    world = SkewWorld(load_settings(home=tmp_path, corpora="", online_flush_s=0.001, segment_flush_s=60.0))
    left: list[int] = []
    for portion in range(PORTIONS):
        if portion == PORTIONS // 2:
            world.materializer.flush()
            make_dense(world.settings)
            world.ask(world.now)
            world.start_worker()
            left.append(dense_left(world.settings))
        world.send()
        world.work()
        world.ask(world.now)
        left.append(dense_left(world.settings))
    world.finish()
    world.ask(world.now)
    assert dense_left(world.settings) == 0
    assert len(set(left)) > 3
    result = world.prove()
    assert columns_of(result) == {}
    assert not result.differs
    assert result.checked > 500
    world.close()

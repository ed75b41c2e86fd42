"""A week with declared features, own views, late events, restarts, and features applied in the middle: no skew."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from features.declared import building
from features.declared.generations import DeclaredFeatures, live
from features.live_rows import LiveRows
from features.partition import WHOLE
from leads import clock
from leads.db.engine import migrate, open_engine
from leads.predictions.log import read_predictions
from leads.settings import load_settings
from monitoring.skew.check import check
from serving.worker.worker import Worker
from tests.support.features.declared.generations import FEATURES, declared, with_declared
from tests.support.features.history import START
from tests.support.features.own_views import apply_views, compute_values, write_definitions, write_history
from tests.support.serving.world import POLICIES, publish
from tests.support.skew_world import SkewWorld, columns_of

pytestmark = pytest.mark.slow
N, PORTIONS = 2_400, 8


class World(SkewWorld):
    """Its worker moves from one generation of features to the next, as the command's does."""

    def start_worker(self) -> None:
        self.rows = LiveRows(self.settings, self.engine, WHOLE, on_switch=self.reader.use)
        self.reader.use(self.rows.features)
        self.worker = Worker(POLICIES, self.engine, self.scorer, self.published, self.rows)
        self.worker._resume()

    def finish(self) -> None:
        self.rows.flush()

    def work(self, steps: int = 1_000) -> None:
        for _ in range(steps):
            self.rows._look_at = 0.0
            if not self.worker.step() and self.rows._coming is None:
                break


def declared_beside_views(world: World) -> DeclaredFeatures:
    """The declared features, and the views that are live."""
    views = live(world.engine).views
    return declared().model_copy(update={"views": {view.name: view.declaration for view in views}})


@pytest.fixture(params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    redis = request.getfixturevalue("redis_address") if request.param == "redis" else None
    folder = write_definitions(tmp_path / "views")
    write_history(folder, [("a0", START, START, 1, 1.0, True)])
    settings = load_settings(
        home=tmp_path / "home",
        corpora="",
        feature_views=folder,
        online_store=request.param,
        redis_url=redis,
        online_flush_s=0.001,
        segment_flush_s=0.05,
    )
    migrate(settings)
    engine = open_engine(settings)
    apply_views(settings, engine)
    engine.dispose()
    made = World(settings)
    made.waiting = list(with_declared(N))
    return made


def test_a_week_with_features_applied_in_the_middle_shows_no_skew(world: World) -> None:
    ids: dict[str, set[str]] = {}
    for portion in range(PORTIONS):
        first = world.send()
        world.ask(first + 2 * clock.SECOND)
        if portion % 3 == 1:
            world.work(steps=2)
            world.start_worker()
        if portion == PORTIONS // 2:
            generation = building.start(world.settings, world.engine, declared_beside_views(world))
            building.build(world.settings, world.engine, generation, on_progress=lambda done, total: None)
        world.work()
        if portion == PORTIONS // 2:
            assert live(world.engine).number == generation.number
            for harm in ("spam", "stream_manipulation"):
                publish(world.settings, harm, "2", features=live(world.engine))
            world.published.refresh()
        compute_values(world.settings, world.engine, world.now)
        world.ask(world.now + clock.SECOND // 2)
        for harm in ("spam", "stream_manipulation"):
            ids.setdefault(harm, set()).add(world.published.lineup().champions[harm].version)
    world.finish()
    world.log.flush()
    assert set(map(frozenset, ids.values())) == {frozenset(("1", "2"))}

    result = check(world.settings, length=30 * clock.DAY)
    assert columns_of(result) == {}
    assert not result.differs
    for one in result.harms:
        assert one.checked == one.predictions > 300
        assert (one.too_new, one.not_verified, one.texts_unverifiable, one.unreadable) == (0, 0, 0, 0)
        assert one.columns_unverifiable == ()
        table = read_predictions(world.settings.predictions_dir, one.harm)
        new = [row for row in table.to_pylist() if row["model_version"] == "2"]
        vectors = np.array([row["vector"] for row in new], np.float32)
        names = world.published.lineup().champions[one.harm].contract.names
        places = [names.index(name) for name in (*FEATURES, "trust:level", "trust:refunds", "trust:is_partner")]
        assert (np.nanmax(vectors[:, places], axis=0) > 0).all()
    with suppress(AttributeError):
        world.rows.close()


def test_an_altered_row_of_a_declared_feature_is_found(world: World) -> None:
    for _ in range(PORTIONS // 2):
        world.send()
    world.work()
    generation = building.start(world.settings, world.engine, declared_beside_views(world))
    building.build(world.settings, world.engine, generation, on_progress=lambda done, total: None)
    world.work()
    publish(world.settings, "spam", "2", features=live(world.engine))
    world.published.refresh()
    version = world.published.lineup().champions["spam"]
    column = version.contract.names.index("account.follows_7d")
    # As if serving had counted one follow more than there were.
    one = world.comments()[0]
    world.scorer._sink = Altered(world.log, column)  # type: ignore[assignment]
    world.ask(world.now + clock.SECOND, [one])
    world.finish()
    world.log.flush()
    result = check(world.settings, ["spam"], length=30 * clock.DAY)
    assert result.differs
    (differing,) = [skew for harm in result.harms for skew in harm.differences if skew.kind == "value"]
    assert differing.column == "account.follows_7d"
    assert differing.meaning == "follows in 7 days"


class Altered:
    """A prediction log in which a column is 1 higher than it was."""

    def __init__(self, log: object, column: int) -> None:
        self._log = log
        self._column = column

    def append(self, batch: object) -> None:
        batch.vectors[:, self._column] += 1  # type: ignore[attr-defined]
        self._log.append(batch)  # type: ignore[attr-defined]

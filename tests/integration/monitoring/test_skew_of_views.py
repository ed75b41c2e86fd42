"""`leads skew` on columns of own views: verified with a time of availability, and not verifiable without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from cli.ui.skew import render
from cli.ui.terminal import console
from features.feast.store import open_store
from leads.db.engine import migrate, open_engine
from leads.settings import load_settings
from tests.support.features.history import START
from tests.support.features.own_views import (
    DEFINITIONS,
    apply_views,
    compute_values,
    write_definitions,
    write_history,
)
from tests.support.skew_world import SkewWorld, columns_of

pytestmark = pytest.mark.slow
COLUMNS = {"trust:level", "trust:refunds", "trust:is_partner"}


def world_with(tmp_path: Path, definitions: str = DEFINITIONS, **options: object) -> SkewWorld:
    folder = write_definitions(tmp_path / "views", definitions)
    write_history(folder, [("a0", START, START, 1, 1.0, True)])
    settings = load_settings(home=tmp_path / "home", corpora="", feature_views=folder, online_flush_s=0.001, **options)
    migrate(settings)
    engine = open_engine(settings)
    apply_views(settings, engine)
    engine.dispose()
    return SkewWorld(settings)


@pytest.fixture(params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SkewWorld]:
    address = request.getfixturevalue("redis_address") if request.param == "redis" else None
    made = world_with(tmp_path, online_store=request.param, redis_url=address)
    yield made
    made.close()


def portion(world: SkewWorld, *, written: bool = True) -> None:
    """A portion of events. Then a job computes new values, which become available at once, and are written or not."""
    world.send()
    world.work()
    compute_values(world.settings, world.engine, world.now, written=written)
    world.ask(world.now + 1)
    world.finish()


def test_values_that_are_written_in_time_show_no_skew(world: SkewWorld) -> None:
    for _ in range(4):
        portion(world)
    result = world.prove()
    assert not result.differs
    assert result.checked > 200
    assert all(one.columns_unverifiable == () and one.rows_ahead == 0 for one in result.harms)


def test_values_that_the_source_does_not_have_are_found(world: SkewWorld) -> None:
    portion(world)
    pushed = {"level": [3], "refunds": [0.5], "is_partner": [True], "tier": [""]}
    time = pd.to_datetime([world.now], unit="us", utc=True)
    pushed |= {"account_id": ["a7"], "event_timestamp": time, "created": time}
    open_store(world.settings).push("trust_push", pd.DataFrame(pushed))
    world.ask(world.now + 1)
    result = world.prove()
    found = columns_of(result)
    assert found.keys() == {"unknown row"}
    assert "trust:level" in found["unknown row"]
    assert found["unknown row"] <= COLUMNS | {"view:trust row"}


def test_values_that_are_written_late_are_found(world: SkewWorld) -> None:
    portion(world)
    for _ in range(3):
        portion(world, written=False)
    found = columns_of(world.prove())
    assert found.keys() <= {"stale row", "missing row"}
    assert found["stale row"] & COLUMNS
    assert not set().union(*found.values()) - COLUMNS - {"view:trust row"}


def test_without_a_time_of_availability_columns_are_not_verifiable(tmp_path: Path) -> None:
    definitions = DEFINITIONS.replace('    created_timestamp_column="created",\n', "")
    world = world_with(tmp_path, definitions)
    portion(world)
    for _ in range(3):
        portion(world, written=False)
    result = world.prove()
    assert not result.differs
    assert result.checked > 200
    assert all(set(one.columns_unverifiable) == COLUMNS for one in result.harms)
    with console.capture() as shown:
        console.print(render(result))
    assert "3 columns are not verifiable" in " ".join(shown.get().split())
    world.close()

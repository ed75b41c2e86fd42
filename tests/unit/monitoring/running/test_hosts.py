"""Two hosts: each sees half of the predictions, and together they equal one host that sees all."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.db.locks.named_lock import NamedLock
from leads.settings import Settings, load_settings
from monitoring.running.run import Outcome, run
from tests.support.monitoring.watch_world import JOBS, START, policies_of, predict, values, world_of


def at(hour: float) -> Micros:
    return START + round(hour * clock.HOUR)


def run_at(settings: Settings, engine: Engine, now: Micros) -> Outcome:
    return run(world_of(settings, engine, now, policies_of(settings, ["spam"])), only=JOBS[:2], then=())


@pytest.fixture
def other(any_settings: Settings, tmp_path: Path) -> Settings:
    """Another home on the same database."""
    return load_settings(home=tmp_path / "other", corpora=Path(), database_url=any_settings.database)


@pytest.mark.slow
def test_two_hosts_equal_one_that_sees_all(
    any_settings: Settings, any_engine: Engine, other: Settings, tmp_path: Path
) -> None:
    one = load_settings(home=tmp_path / "one", corpora=Path())
    alone = open_engine(one)
    try:
        for hour in range(30):
            for n, settings in ((hour % 5 + 1, any_settings), (hour % 3, other)):
                if n:
                    predict(settings, at(hour + 0.5), n)
                    predict(one, at(hour + 0.5), n)
            now = at(hour + 1.2)
            # Either may come first.
            for settings in (any_settings, other)[:: 1 if hour % 2 else -1]:
                run_at(settings, any_engine, now)
            run_at(one, alone, now)
        # The last run of the first host may have waited for the other's summaries.
        run_at(any_settings, any_engine, at(30.3))
        run_at(one, alone, at(30.3))
        for name in ("test.hourly", "test.daily"):
            assert values(any_engine, name) == values(alone, name)
    finally:
        alone.dispose()


def test_a_host_that_was_down_changes_what_was_measured(
    any_settings: Settings, any_engine: Engine, other: Settings
) -> None:
    predict(any_settings, at(0.5), 3)
    predict(other, at(0.5), 2)
    run_at(any_settings, any_engine, at(0.7))
    run_at(other, any_engine, at(0.7))
    predict(other, at(0.8), 4)
    assert values(any_engine) == {1: 5.0}
    # It waits for the summaries of the other host, but not for ever.
    assert run_at(any_settings, any_engine, at(1) + 6 * clock.MINUTE).windows == 0
    outcome = run_at(any_settings, any_engine, at(1) + 21 * clock.MINUTE)
    assert [line for line in outcome.notes if line.startswith("1 host wrote no summary")]
    assert values(any_engine)[1] == 5.0
    run_at(other, any_engine, at(3.2))
    run_at(any_settings, any_engine, at(3.3))
    assert values(any_engine)[1] == 9.0


def test_a_host_that_is_gone_for_a_day_is_not_waited_for(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    other = load_settings(home=tmp_path / "other", corpora=Path(), database_url=settings.database)
    predict(other, at(0.5), 2)
    run_at(other, engine, at(1.2))
    predict(settings, at(25.5), 3)
    outcome = run_at(settings, engine, at(26.2))
    assert not [line for line in outcome.notes if "no summary" in line]
    assert values(engine)[26] == 3.0


@pytest.mark.slow
def test_one_host_at_a_time_measures(migrated_postgresql_url: str, tmp_path: Path) -> None:
    first, second = (
        load_settings(home=tmp_path / name, corpora=Path(), database_url=migrated_postgresql_url)
        for name in ("first", "second")
    )
    engine = open_engine(first)
    lock = NamedLock(first, "leads.monitor")
    try:
        assert lock.acquire()
        predict(second, at(0.5), 2)
        outcome = run_at(second, engine, at(1.2))
        assert outcome.run == ""
        assert outcome.hours == 1
        assert outcome.notes == ["Another host is measuring; this one wrote its summaries."]
        assert values(engine) == {}
        lock.close()
        run_at(second, engine, at(1.3))
        assert values(engine)[1] == 2.0
    finally:
        lock.close()
        engine.dispose()

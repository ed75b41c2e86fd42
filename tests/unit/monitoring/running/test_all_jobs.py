"""All jobs on a home with events, predictions, a challenger and decisions, on both databases."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow
from leads.events import Event, ItemCreated, SubjectRef
from leads.settings import Settings
from monitoring.running.all_jobs import describe
from monitoring.running.run import run
from tests.support.monitoring.watch_world import START, policies_of, predict, world_of
from tests.support.serving.queue_world import QueueWorld

HOURS = 30
SPAM = ("spam",)
MEASURED = {
    "events.volume",
    "predictions.volume",
    "predictions.gap_h",
    "predictions.lag_s",
    "queue.oldest_h",
    "performance.precision",
    "performance.expected_precision",
    "performance.precision_deficit",
    "performance.gap",
    "performance.calibration",
}


def lived(settings: Settings, engine: Engine) -> None:
    """Some hours in which comments are written, scored by champion and challenger, and reviewed."""
    queue, draw = QueueWorld(engine), np.random.default_rng(1)
    for hour in range(HOURS):
        at = START + hour * clock.HOUR
        queue.now = at
        scores = draw.uniform(0.1, 0.9, 40)
        for role, version in (("champion", "1"), ("challenger", "2")):
            tiers = ["review" if score >= 0.5 else "none" for score in scores]
            predict(settings, at, 40, version=version, role=role, scores=scores, tiers=tiers)
            scores = np.clip(scores + draw.normal(0, 0.1, 40), 0, 1)
        id_ = f"c{hour}"
        body = ItemCreated(SubjectRef("comment", id_), account_id=f"a{hour}", text=f"text {hour}")
        with engine.begin() as connection:
            event_log.append(connection, "app", [Event(id_, at, body)], clock_=lambda at=at: at)  # type: ignore[misc]
        queue.wait()
        queue.offer(id_, float(scores.max()))
        queue.wait()
        if hour % 3 and hour < HOURS - 10:
            (lead,) = queue.claim(1)
            queue.decide(lead.id, "violating" if draw.random() < lead.score else "not_violating")
    with engine.begin() as connection:
        cursors.move(connection, cursors.scored_name(0, 1), 5)


def stored(engine: Engine) -> list[MetricRow]:
    with reading(engine) as connection:
        return metric_rows.read(connection)


@pytest.mark.slow
def test_all_jobs_run_and_measure_the_same_again(any_settings: Settings, any_engine: Engine) -> None:
    lived(any_settings, any_engine)
    policies = policies_of(any_settings, SPAM)
    now = START + HOURS * clock.HOUR + 10 * clock.MINUTE
    world = world_of(any_settings, any_engine, now, policies)
    done = run(world, describe=describe(world), then=())
    assert done.failed == 0, done.notes
    found = stored(any_engine)
    measured = {row.name for row in found}
    assert measured >= MEASURED
    again = run(world_of(any_settings, any_engine, now, policies), then=())
    assert again.failed == 0
    assert sorted(stored(any_engine)) == sorted(found)


@pytest.mark.slow
def test_days_later_the_same_jobs_measure_the_days_between(any_settings: Settings, any_engine: Engine) -> None:
    lived(any_settings, any_engine)
    policies = policies_of(any_settings, SPAM)
    run(world_of(any_settings, any_engine, START + HOURS * clock.HOUR, policies), then=())
    later = run(world_of(any_settings, any_engine, START + (HOURS + 20) * clock.HOUR, policies), then=())
    assert later.failed == 0, later.notes
    volumes = {row.until: row.n for row in stored(any_engine) if row.name == "events.volume" and not row.slice}
    assert [volumes[START + hour * clock.HOUR] for hour in (HOURS - 1, HOURS, HOURS + 1, HOURS + 19)] == [1, 1, 0, 0]
    precision = [row for row in stored(any_engine) if row.name == "performance.precision" and not row.slice]
    assert precision
    assert precision[0].n >= 10

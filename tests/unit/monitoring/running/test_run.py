"""Runs of monitoring: what is due is measured once, what changed is measured again, and each trouble gets a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import guard
from leads.db.engine import reading
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows
from leads.errors import Conflict, InvalidInput, Unavailable
from leads.files import only_one
from leads.policies import Policies
from leads.settings import Settings, load_settings
from monitoring.running.run import Outcome, Stopped, run
from monitoring.watch.jobs import HOURLY, Job, Step
from monitoring.watch.world import World
from tests.support.monitoring.watch_world import (
    JOBS,
    START,
    every_hour,
    hourly,
    policies_of,
    predict,
    promote,
    values,
    world_of,
)

SPAM = ("spam",)


def at(hour: float) -> Micros:
    return START + round(hour * clock.HOUR)


def run_at(
    settings: Settings, engine: Engine, now: Micros, policies: Policies | None = None, jobs: Sequence[Job] = JOBS
) -> Outcome:
    return run(world_of(settings, engine, now, policies or policies_of(settings, SPAM)), only=jobs, then=())


def lines(outcome: Outcome, word: str) -> list[str]:
    return [line for line in outcome.notes if word in line]


def test_each_window_is_measured_once_it_is_complete(any_settings: Settings, any_engine: Engine) -> None:
    for hour in range(2):
        predict(any_settings, at(hour + 0.5), hour + 1)
    first = run_at(any_settings, any_engine, at(2.2))
    # The window that isn't over is measured too, and again once it is over.
    assert values(any_engine) == {1: 1.0, 2: 2.0, 3: 0.0}
    assert lines(first, "first run")
    predict(any_settings, at(2.5), 3)
    run_at(any_settings, any_engine, at(2.7))
    assert values(any_engine) == {1: 1.0, 2: 2.0, 3: 3.0}
    predict(any_settings, at(3.5), 4)
    second = run_at(any_settings, any_engine, at(4.2))
    assert values(any_engine) == {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0, 5: 0.0}
    assert second.notes == []
    assert second.until == at(4)


def test_a_run_that_has_nothing_to_do_changes_nothing(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(1.2))
    again = run_at(settings, engine, at(1.3))
    assert (again.hours, again.windows, again.failed) == (0, 0, 0)


def test_an_hour_is_measured_only_after_it_has_settled(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(0.9))
    outcome = run_at(settings, engine, at(1) + 4 * clock.MINUTE)
    assert outcome.windows == 0
    assert run_at(settings, engine, at(1) + 6 * clock.MINUTE).until == at(1)


def test_late_predictions_change_what_was_measured(any_settings: Settings, any_engine: Engine) -> None:
    predict(any_settings, at(0.5), 3)
    for now in every_hour(1, 5):
        run_at(any_settings, any_engine, now)
    predict(any_settings, at(1.5), 2)
    outcome = run_at(any_settings, any_engine, at(5.3))
    assert values(any_engine) == {1: 3.0, 2: 2.0, 3: 0.0, 4: 0.0, 5: 0.0, 6: 0.0}
    assert len(lines(outcome, "changed after")) == 1
    # Windows before the hour stay as they are.
    assert outcome.windows == 4


def test_a_run_killed_after_it_summarised_late_predictions_forgets_nothing(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    for now in every_hour(1, 4):
        run_at(settings, engine, now)
    predict(settings, at(1.5), 2)

    def stop(step: str) -> None:
        if step.startswith("measuring"):
            raise Stopped

    with pytest.raises(Stopped):
        run(world_of(settings, engine, at(4.3), policies_of(settings, SPAM)), only=JOBS, then=(), on_step=stop)
    run_at(settings, engine, at(4.4))
    assert values(engine)[2] == 2.0


def test_what_changes_while_a_job_measures_is_measured_again(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    theirs = load_settings(home=settings.root.parent / "other", corpora=Path(), database_url=settings.database)

    def late(world: World, harm: str, until: Micros) -> list[MetricRow]:
        rows = hourly(world, harm, until)
        if world.now < at(1.3) and until == at(1):
            # Meanwhile, another host writes its summaries of the hour.
            predict(theirs, at(0.6), 4)
            run(world_of(theirs, engine, world.now, world.policies), only=(), then=(), measuring=False)
        return rows

    jobs = (Job("late", HOURLY, late),)
    run_at(settings, engine, at(1.2), jobs=jobs)
    assert values(engine) == {1: 3.0}
    run_at(settings, engine, at(1.4), jobs=jobs)
    assert values(engine) == {1: 7.0}


def test_values_that_are_not_measured_any_more_go(settings: Settings, engine: Engine) -> None:
    def sliced(world: World, harm: str, until: Micros) -> list[MetricRow]:
        (row,) = hourly(world, harm, until)
        return [row] if row.n > 3 else [row, row._replace(slice="type=comment")]

    jobs = (Job("sliced", HOURLY, sliced),)
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(1.2), jobs=jobs)
    predict(settings, at(0.6), 1)
    run_at(settings, engine, at(1.3), jobs=jobs)
    with reading(engine) as connection:
        query = sa.select(metric_rows.c.slice, metric_rows.c.value).where(metric_rows.c.until == at(1))
        assert connection.execute(query).all() == [("", 4.0)]


def test_after_a_gap_of_three_days_every_window_is_measured(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5))
    run_at(settings, engine, at(1.2))
    for hour in range(1, 73):
        predict(settings, at(hour + 0.5), 2)
    outcome = run_at(settings, engine, at(73.2))
    assert values(engine) == {1: 1.0, **{hour: 2.0 for hour in range(2, 74)}, 74: 0.0}
    assert len(lines(outcome, "Nothing was measured since")) == 1
    assert len(outcome.notes) == 1


def test_after_a_longer_gap_the_last_days_are(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5))
    run_at(settings, engine, at(1.2))
    outcome = run_at(settings, engine, at(24 * 20 + 1.2))
    assert lines(outcome, "The windows of the last 7 days")
    assert min(hour for hour in values(engine) if hour > 1) == 24 * 13 + 2


def test_a_clock_that_stepped_back_undoes_the_future(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(1.2))
    run_at(settings, engine, at(30.2))
    predict(settings, at(1.5), 2)
    outcome = run_at(settings, engine, at(2.2))
    assert values(engine) == {1: 3.0, 2: 2.0, 3: 0.0}
    assert values(engine, "test.platform", "") == {1: 1.0, 2: 1.0}
    assert len(lines(outcome, "the present, were measured")) == 1
    assert len(lines(outcome, "clock is wrong")) == 1
    # From then on, all is as usual.
    predict(settings, at(2.5), 4)
    later = run_at(settings, engine, at(3.2))
    assert values(engine)[3] == 4.0
    assert later.notes == []


def test_a_small_step_back_undoes_nothing(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(1) + 5 * clock.MINUTE)
    outcome = run_at(settings, engine, at(1) + 1 * clock.MINUTE)
    assert values(engine)[1] == 3.0
    assert outcome.notes == []


def test_predictions_from_the_future_are_left_out_until_then(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    predict(settings, at(9.5), 2)
    outcome = run_at(settings, engine, at(1.2))
    assert values(engine)[1] == 3.0
    assert lines(outcome, "2 predictions dated in the future")
    for now in every_hour(2, 10):
        outcome = run_at(settings, engine, now)
    assert values(engine)[10] == 2.0
    assert sum(values(engine).values()) == 5.0
    assert not lines(outcome, "future")


def test_a_harm_without_a_champion_gets_a_line(settings: Settings, engine: Engine) -> None:
    outcome = run_at(settings, engine, at(1.2))
    assert lines(outcome, "spam has no champion")
    promote(engine, "1", at(1.5))
    outcome = run_at(settings, engine, at(2.2))
    assert lines(outcome, "no predictions in the last 7 days")
    assert outcome.failed == 0


def test_a_promotion_in_mid_window_keeps_both_versions(settings: Settings, engine: Engine) -> None:
    promote(engine, "1", at(-5))
    predict(settings, at(0.2), 3)
    run_at(settings, engine, at(0.4))
    promote(engine, "2", at(0.5))
    predict(settings, at(0.7), 2, version="2")
    outcome = run_at(settings, engine, at(1.2))
    assert len(lines(outcome, "version 2 became champion")) == 1
    assert values(engine)[1] == 5.0
    with reading(engine) as connection:
        query = sa.select(metric_rows.c.version).where(metric_rows.c.name == "test.hourly", metric_rows.c.n == 5)
        assert connection.execute(query).scalar() == "1,2"
    assert not lines(run_at(settings, engine, at(2.2)), "became champion")


def test_harms_that_come_and_go_get_a_line_each(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    predict(settings, at(1.5), 2, harm="sexism")
    run_at(settings, engine, at(1.2))
    outcome = run_at(settings, engine, at(2.2), policies_of(settings))
    assert lines(outcome, "Measured from now on: sexism")
    assert values(engine, harm="sexism")[2] == 2.0
    outcome = run_at(settings, engine, at(3.2), policies_of(settings, ["sexism"]))
    assert lines(outcome, "no longer measured: spam")
    assert not lines(run_at(settings, engine, at(4.2), policies_of(settings, ["sexism"])), "spam")
    # Its values stay.
    assert values(engine)[1] == 3.0


def test_ignored_sources_are_not_counted_and_come_back(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    predict(settings, at(0.6), 4, source="worker")
    without = policies_of(settings, SPAM, ignore_sources=("api",))
    run_at(settings, engine, at(1.2), without)
    assert values(engine)[1] == 4.0
    run_at(settings, engine, at(1.3))
    assert values(engine)[1] == 7.0
    everything = policies_of(settings, SPAM, ignore_sources=("api", "worker"))
    run_at(settings, engine, at(1.4), everything)
    assert values(engine)[1] == 0.0


def test_an_unreadable_segment_hides_no_other(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    predict(settings, at(0.6), 2)
    broken = sorted(settings.predictions_dir.rglob("*.parquet"))[0]
    whole = broken.read_bytes()
    broken.write_bytes(b"no parquet")
    outcome = run_at(settings, engine, at(1.2))
    assert lines(outcome, "1 segment of the prediction log can't be read")
    assert values(engine)[1] in (2.0, 3.0)
    broken.write_bytes(whole)
    run_at(settings, engine, at(1.4))
    assert values(engine)[1] == 5.0


def test_summaries_stay_when_their_predictions_are_deleted(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    run_at(settings, engine, at(1.2))
    for path in sorted(settings.predictions_dir.rglob("day=*/*")):
        path.unlink()
    for path in settings.predictions_dir.rglob("day=*"):
        path.rmdir()
    outcome = run_at(settings, engine, at(1.3))
    assert outcome.hours == 0
    assert values(engine)[1] == 3.0


def test_without_a_registry_a_harm_waits_and_nothing_is_lost(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    world = world_of(settings, engine, at(1.2), policies_of(settings, SPAM))
    world.down = True
    outcome = run(world, only=JOBS, then=())
    assert outcome.failed == 1
    assert lines(outcome, "Summarising predictions of spam failed: LEADS_MLFLOW_URI: MLflow can't be reached.")
    # What isn't of a harm is measured.
    assert values(engine, "test.platform", "") == {1: 1.0}
    assert values(engine) == {}
    run_at(settings, engine, at(1.4))
    assert values(engine)[1] == 3.0


def test_a_job_that_fails_keeps_no_other_from_measuring(settings: Settings, engine: Engine) -> None:
    def divide(world: World, harm: str, until: Micros) -> list[MetricRow]:
        raise ZeroDivisionError("a text")

    predict(settings, at(0.5), 3)
    outcome = run_at(settings, engine, at(1.2), jobs=(Job("divide", HOURLY, divide), *JOBS))
    assert outcome.failed == 1
    (line,) = lines(outcome, "divide of spam failed")
    # The message might quote what somebody wrote.
    assert "a text" not in line
    assert values(engine)[1] == 3.0
    with reading(engine) as connection:
        assert runs.newest(connection)[0].state == "failed"
    # Once it works, it measures what is due.
    run_at(settings, engine, at(3.2), jobs=(Job("divide", HOURLY, hourly),))
    assert {2, 3} <= set(values(engine))


def test_a_database_that_goes_down_ends_the_run_and_the_next_goes_on(settings: Settings, engine: Engine) -> None:
    def down(world: World, harm: str, until: Micros) -> list[MetricRow]:
        if world.now < at(1.3):
            raise Unavailable("The database is not responding.", field=guard.FIELD)
        return hourly(world, harm, until)

    jobs = (JOBS[1], Job("down", HOURLY, down), JOBS[2])
    predict(settings, at(0.5), 3)
    with pytest.raises(Unavailable):
        run_at(settings, engine, at(1.2), jobs=jobs)
    assert values(engine, "test.platform", "") == {}
    outcome = run_at(settings, engine, at(1.4), jobs=jobs)
    assert values(engine)[1] == 3.0
    assert values(engine, "test.platform", "") == {1: 1.0}
    assert outcome.failed == 0


def test_a_run_that_was_killed_gets_a_line(settings: Settings, engine: Engine) -> None:
    predict(settings, at(0.5), 3)
    host = world_of(settings, engine, at(1)).host
    with engine.begin() as connection:
        runs.begin(connection, host, at(1.1))
    outcome = run_at(settings, engine, at(1.2))
    assert lines(outcome, "The last run was killed")
    with reading(engine) as connection:
        assert [one.state for one in runs.newest(connection)] == ["done", "failed"]
        assert runs.newest(connection)[1].notes == [runs.KILLED]


def test_windows_of_the_future_are_refused(settings: Settings, engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="in the future"):
        run(world_of(settings, engine, at(1)), until=at(2))


def test_two_runs_in_one_home(settings: Settings, engine: Engine) -> None:
    with only_one(settings.root / "locks" / "monitor.lock", what="running"), pytest.raises(Conflict):
        run_at(settings, engine, at(1.2))


def test_steps_follow_the_jobs_and_fail_alone(settings: Settings, engine: Engine) -> None:
    seen: list[tuple[str, dict[int, float]]] = []

    def fail(world: World, run: str) -> None:
        raise ValueError

    def look(world: World, run: str) -> None:
        seen.append((run, values(engine)))

    predict(settings, at(0.5), 3)
    world = world_of(settings, engine, at(1.2), policies_of(settings, SPAM))
    outcome = run(world, only=JOBS, then=(Step("judging", fail), Step("reporting", look)))
    assert seen == [(outcome.run, {1: 3.0, 2: 0.0})]
    assert lines(outcome, "Judging failed: unexpected ValueError")


def test_a_window_is_measured_again_on_request(settings: Settings, engine: Engine) -> None:
    for hour, now in enumerate(every_hour(1, 4)):
        predict(settings, at(hour + 0.5), hour + 1)
        run_at(settings, engine, now)
    with engine.begin() as connection:
        connection.execute(sa.update(metric_rows).values(value=99.0))
    world = world_of(settings, engine, at(4.3), policies_of(settings, SPAM))
    outcome = run(world, only=JOBS, then=(), until=at(2.5))
    assert outcome.until == at(2)
    assert values(engine) == {1: 99.0, 2: 2.0, 3: 99.0, 4: 99.0, 5: 99.0}


def test_one_harm_on_request(settings: Settings, engine: Engine) -> None:
    for harm in ("spam", "sexism"):
        predict(settings, at(0.5), 3, harm=harm)
    run(world_of(settings, engine, at(1.2)), only=JOBS, then=(), harms=["sexism"])
    assert values(engine) == {}
    assert values(engine, harm="sexism")[1] == 3.0

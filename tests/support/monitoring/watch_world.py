"""A home whose predictions are watched: what a job counts in them, and everything that monitoring stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.model_changes import CHAMPION, ModelChange, record
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import metric_rows, monitor_progress, prediction_summaries
from leads.errors import Unavailable
from leads.platform.declaration import load_platform
from leads.policies import Policies, load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from models.registry.versions import no_such_version
from models.version import ModelVersion
from monitoring.summaries.hourly import host_id
from monitoring.watch.jobs import DAILY, HOURLY, Job
from monitoring.watch.world import World
from tests.support.prediction_world import batch

START = 1_780_012_800_000_000 // clock.DAY * clock.DAY
NAMES = ("a", "b", "c")
HARMS = ("spam", "sexism")
_numbers = count(1)


class PlainWorld(World):
    """Its versions have three inputs and no files. Set `down` to have no registry."""

    down = False

    def version(self, harm: str, version: str) -> ModelVersion | None:
        return None

    def input_names(self, harm: str, version: str) -> tuple[str, ...] | None:
        if self.down:
            raise Unavailable("MLflow can't be reached.", field="LEADS_MLFLOW_URI")
        return NAMES


class NoRegistry:
    """A `VersionReader` without versions."""

    def aliases(self, harm: str) -> dict[str, str]:
        return {}

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        raise no_such_version(harm, version)


def policies_of(settings: Settings, harms: Sequence[str] = HARMS, **monitoring: Any) -> Policies:
    """The project's policies with only these harms, and with changes to the section `monitoring`."""
    found = load_policies(settings.policies)
    section = found.monitoring.model_copy(update=monitoring)
    return found.model_copy(
        update={"harms": {name: found.harms[name] for name in harms}, "monitoring": section},
    )


def world_of(settings: Settings, engine: Engine, now: Micros, policies: Policies | None = None) -> PlainWorld:
    """What a run at `now` reads."""
    policies = policies or policies_of(settings)
    platform = load_platform(settings.platform)
    return PlainWorld(settings, policies, platform, engine, NoRegistry(), now, host_id(settings))  # type: ignore[arg-type]


def predict(
    settings: Settings, at: Micros, n: int = 1, *, harm: str = "spam", version: str = "1", **given: Any
) -> None:
    """Log predictions of new subjects that were made at `at`, a segment for each call."""
    numbers = [next(_numbers) for _ in range(n)]
    log = PredictionLog(settings.predictions_dir, owner="api")
    log.append(
        batch(
            *numbers,
            harm=harm,
            model_version=version,
            at=at,
            scored_at=at,
            prediction_ids=[f"{harm}{number}" for number in numbers],
            **given,
        )
    )
    log.close()


def promote(engine: Engine, version: str, at: Micros, harm: str = "spam") -> None:
    """Record that a version became champion."""
    change = ModelChange(at, harm, version, "promoted", "me", "", alias=CHAMPION, state="done")
    with engine.begin() as connection:
        record(connection, change)


def _counted(world: World, harm: str, until: Micros, length: Micros, name: str) -> list[MetricRow]:
    hours = world.hours(harm, until - length, until)
    n = sum(hour.summary.predictions for hour in hours)
    versions = sorted({hour.version for hour in hours})
    return [MetricRow(harm, ",".join(versions), "", until - length, until, name, float(n), None, None, n, "counted")]


def hourly(world: World, harm: str, until: Micros) -> list[MetricRow]:
    return _counted(world, harm, until, clock.HOUR, "test.hourly")


def daily(world: World, harm: str, until: Micros) -> list[MetricRow]:
    return _counted(world, harm, until, clock.DAY, "test.daily")


def platform(world: World, harm: str, until: Micros) -> list[MetricRow]:
    return [MetricRow(harm, "", "", until - clock.HOUR, until, "test.platform", 1.0, None, None, 1, "constant")]


JOBS = (
    Job("hourly", HOURLY, hourly, provisional=True),
    Job("daily", DAILY, daily),
    Job("platform", HOURLY, platform, of_platform=True),
)


class Stored(NamedTuple):
    """All that monitoring stored, without what says when and by which run it was."""

    summaries: list[tuple[Any, ...]]
    rows: list[tuple[Any, ...]]
    progress: list[tuple[Any, ...]]


def stored(engine: Engine) -> Stored:
    """What is stored, in order."""
    return Stored(
        _all(engine, prediction_summaries, without=("written_at", "host")),
        _all(engine, metric_rows, without=("run",)),
        [row for row in _all(engine, monitor_progress, without=("changes",)) if not row[0].startswith("summaries:")],
    )


def _all(engine: Engine, table: sa.Table, *, without: Sequence[str]) -> list[tuple[Any, ...]]:
    columns = [column for column in table.columns if column.name not in without]
    with reading(engine) as connection:
        return sorted((tuple(row) for row in connection.execute(sa.select(*columns))), key=repr)


def values(engine: Engine, name: str = "test.hourly", harm: str = "spam") -> dict[int, float]:
    """The values of a metric by the hours from START to the end of their window, without windows that end by START."""
    query = sa.select(metric_rows.c.until, metric_rows.c.value).where(
        metric_rows.c.name == name, metric_rows.c.until > START
    )
    with reading(engine) as connection:
        found = connection.execute(query.where(metric_rows.c.harm == harm).order_by(metric_rows.c.until))
        return {(until - START) // clock.HOUR: value for until, value in found}


def every_hour(first: int, last: int, minute: int = 10) -> Iterator[Micros]:
    """Times of runs: a while after each full hour, counted from START."""
    return (START + hour * clock.HOUR + minute * clock.MINUTE for hour in range(first, last + 1))

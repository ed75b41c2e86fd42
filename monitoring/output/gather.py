"""Collects what a harm's page and snapshot show. Everything comes from measured values and summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from leads import clock
from leads.alerting.alert import Alert
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import alerts, figures, runs
from leads.db.monitoring.figures import FIGURES, VERDICT
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.runs import Run
from leads.estimates.slices import slice_parts
from monitoring.drift.jobs import GROWING, INPUT
from monitoring.drift.results import BEFORE, REFERENCE, rank
from monitoring.summaries.reference import any_time
from monitoring.summaries.sketch import Sketch
from monitoring.summaries.summary import MISSING, SCORE, Summary, merge
from monitoring.watch.jobs import PLATFORM
from monitoring.watch.world import World

_LENGTH: Micros = clock.DAY
_OF_INPUTS = (INPUT, GROWING)


@dataclass(frozen=True)
class Column:
    """An input of the model, or whether it is missing, and how far that has moved.

    Args:
        name: as in the rows of drift: the input, or `<input> is missing`.
        row: its drift; with a threshold if it is judged.
        importance: the input's share in the gain of the model's trees.
        reference, current: the input's values; None if a side doesn't have it.
    """

    name: str
    input: str
    row: MetricRow
    importance: float
    reference: Sketch | None
    current: Sketch | None

    @property
    def threshold(self) -> float | None:
        return threshold_of(self.row)

    @property
    def drifted(self) -> bool:
        return drifted(self.row)


@dataclass(frozen=True)
class Contents:
    """What a page shows of a harm.

    Args:
        since, until: the window of the distributions: the day up to the newest measured hour.
        versions: subjects by version, the version with most first.
        verdict: None if there is none.
        figures: the newest values of figures, by name.
        histories: the same on earlier days, oldest first.
        rows: the newest values of every metric of the harm, and those of the whole platform.
        columns: by rank.
        reference: the sample of rows from before the version was trained; None if it can't be read.
        current: the window.
    """

    harm: str
    title: str
    made_at: Micros
    since: Micros
    until: Micros
    versions: Mapping[str, int]
    verdict: MetricRow | None
    figures: Mapping[str, MetricRow]
    histories: Mapping[str, list[MetricRow]]
    rows: tuple[MetricRow, ...]
    columns: tuple[Column, ...]
    reference: Summary | None
    current: Summary
    alerts: tuple[Alert, ...]
    run: Run | None

    @property
    def version(self) -> str:
        """The version that scored most subjects in the window; empty if none did."""
        return next(iter(self.versions), "")


def gather(world: World, harm: str) -> Contents:
    """Collect what there is about a harm.

    Raises:
        Unavailable: the database or the registry can't be reached.
    """
    with reading(world.engine) as connection:
        newest = figures.newest(connection, [harm], world.now)[harm]
        histories = {name: figures.history(connection, row) for name, row in newest.items()}
        of_harm = figures.newest_rows(connection, harm, world.now)
        of_platform = figures.newest_rows(connection, PLATFORM, world.now)
        open_ = [alert for alert in alerts.unresolved(connection) if alert.is_about(harm)]
        last = runs.newest(connection, 1)
    until = max((row.until for row in of_harm if row.until <= world.now), default=world.now // clock.HOUR * clock.HOUR)
    # Measured once a day, windows end before those that are measured every hour.
    hours = world.hours(harm, until - _LENGTH, until)
    versions: Counter[str] = Counter()
    for hour in hours:
        versions[hour.version] += hour.summary.rows
    version = next(iter(dict(versions.most_common())), "")
    sample = world.reference(harm, version) if version else None
    reference = None if sample is None else sample.parts("", any_time).get(0)
    current = merge(hour.summary for hour in hours)
    return Contents(
        harm=harm,
        title=world.policies.harm(harm).title,
        made_at=world.now,
        since=until - _LENGTH,
        until=until,
        versions=dict(versions.most_common()),
        verdict=newest.get(VERDICT.name),
        figures={figure.name: newest[figure.name] for figure in FIGURES if figure.name in newest},
        histories=histories,
        rows=tuple([*shown(of_harm), *shown(of_platform)]),
        columns=_columns(of_harm, world.importance(harm, version) if version else {}, reference, current),
        reference=reference,
        current=current,
        alerts=tuple(sorted(open_, key=lambda alert: (alert.severity != "page", alert.since))),
        # The run that writes the page hasn't ended: its lines aren't stored yet.
        run=last[0]._replace(notes=list(world.notes)) if last else None,
    )


def shown(rows: list[MetricRow]) -> list[MetricRow]:
    """Of windows of several lengths that end at the same time, one for each metric and slice."""
    found: dict[tuple[str, str], list[MetricRow]] = {}
    for row in rows:
        found.setdefault((row.name, row.slice), []).append(row)
    return [one for of in found.values() if (one := figures.preferred(of)) is not None]


def threshold_of(row: MetricRow) -> float | None:
    """The threshold of a value of drift, which is `value - lo`; None if it isn't judged."""
    return None if row.value is None or row.lo is None else row.value - row.lo


def drifted(row: MetricRow) -> bool:
    """Whether a value of drift is above its threshold."""
    return row.lo is not None and row.lo > 0


def _columns(
    rows: list[MetricRow], importance: Mapping[str, float], reference: Summary | None, current: Summary
) -> tuple[Column, ...]:
    """The inputs against the reference, or else against the windows before: those that drifted first, then by rank."""
    compared = [row for row in rows if row.name in _OF_INPUTS]
    against = {slice_parts(row.slice).get("against") for row in compared}
    wanted = REFERENCE if REFERENCE in against else BEFORE
    found = []
    for row in shown(compared):
        parts = slice_parts(row.slice)
        if parts.keys() == {"against", "column"} and parts["against"] == wanted:
            name = parts["column"]
            input_ = name.removesuffix(MISSING)
            found.append(
                Column(
                    name,
                    input_,
                    row,
                    importance.get(input_, 0.0),
                    None if reference is None else reference.columns.get(input_),
                    current.columns.get(input_),
                )
            )
    return tuple(
        sorted(found, key=lambda one: (not one.drifted, -rank(one.row.value or 0.0, one.importance), one.name))
    )


def score_of(summary: Summary | None) -> Sketch | None:
    """The score's sketch."""
    return None if summary is None else summary.columns.get(SCORE)

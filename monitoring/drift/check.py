"""A look at drift by hand: the statistics of the scheduled jobs, for any window. Nothing of it is stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHAMPION
from leads.errors import InvalidInput, NotFound
from models.registry.versions import no_such_version
from monitoring.drift.jobs import every, verdict_hours
from monitoring.drift.measure import measure
from monitoring.drift.results import ColumnDrift, Comparison, Measured, TooFew
from monitoring.watch.jobs import in_future
from monitoring.watch.world import World


class DriftCheck(NamedTuple):
    """What a look at a harm found.

    Args:
        since, until: of the window, µs. It is one of the clock, whether there were predictions or not.
        newest: when the newest hour with predictions ended, µs; None if there are none.
    """

    harm: str
    since: Micros
    until: Micros
    newest: Micros | None
    measured: Measured

    @property
    def drifted(self) -> bool | None:
        """The verdict; None if there is none, or a change couldn't have been seen."""
        return self.measured.drifted


def check(
    world: World,
    harm: str,
    *,
    days: float | None = None,
    until: Micros | None = None,
    version: str | None = None,
) -> DriftCheck:
    """Measure a window of a harm; by default the newest one that the scheduled verdict is about.

    Args:
        days: length of the window, a whole number of hours; default: that of the scheduled verdict.
        until: end of the window, µs; default: that of the newest scheduled one or, where it has too few predictions,
            the end of the current hour.
        version: only predictions of this version.

    Raises:
        NotFound: an unknown version or harm, or one that has neither predictions nor a champion.
        InvalidInput: the window ends in the future, or is shorter than an hour.
        Unavailable: the database or the registry can't be reached.
    """
    world.policies.harm(harm, field="HARM")
    hours = verdict_hours(world.policies.monitoring.window_hours)
    length = hours * clock.HOUR if days is None else _whole_hours(days)
    if until is not None:
        return _check(world, harm, length, _end(world, until), version)
    settled = world.now - round(world.policies.monitoring.settle_minutes * clock.MINUTE)
    found = _check(world, harm, length, settled // every(hours) * every(hours), version)
    if not found.measured.verdicts:
        # A platform that has only begun is shown what there is.
        found = _check(world, harm, length, _current(world), version)
    if found.newest is None and world.registry.aliases(harm).get(CHAMPION) is None:
        raise NotFound(f"{harm} has no champion yet.", field="harm", remedy=f"Train one: leads train {harm}.")
    return found


def _check(world: World, harm: str, length: Micros, until: Micros, version: str | None) -> DriftCheck:
    measured = measure(world, harm, until - length, until, version=version)
    if version is not None and not measured.comparisons and world.version(harm, version) is None:
        raise no_such_version(harm, version)
    newest = world.newest_hour(harm, until)
    return DriftCheck(harm, until - length, until, None if newest is None else newest + clock.HOUR, measured)


def _whole_hours(days: float) -> Micros:
    hours = round(days * 24)
    if hours < 1:
        raise InvalidInput(
            f"A window of {days:g} days is shorter than an hour, and predictions are summarised by hour.",
            field="--days",
            remedy="Use at least 0.05.",
        )
    return hours * clock.HOUR


def _current(world: World) -> Micros:
    return -(-world.now // clock.HOUR) * clock.HOUR


def _end(world: World, until: Micros) -> Micros:
    """The end of the hour in which `until` is."""
    if until > _current(world):
        raise in_future(until, world.now)
    return -(-until // clock.HOUR) * clock.HOUR


def document(found: DriftCheck) -> dict[str, Any]:
    """The result for programs."""
    return {
        "harm": found.harm,
        "since": clock.to_text(found.since),
        "until": clock.to_text(found.until),
        "newest_predictions": None if found.newest is None else clock.to_text(found.newest),
        "drifted": found.drifted,
        "comparisons": [_comparison(one) for one in found.measured.comparisons],
        "no_verdict": [_too_few(one) for one in found.measured.too_few],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "against": one.against,
        "baseline": one.alike,
        "version": one.version or None,
        "slice": one.slice,
        "drifted": one.drifted,
        "unclear": (one.unclear or None) if one.drifted is None else None,
        "score_drifted": one.score_drifted,
        "share": one.share,
        "inputs": len(one.inputs),
        "rows": one.rows,
        "predictions": one.predictions,
        "baseline_rows": round(one.of_rows),
        "columns": [_column(column) for column in one.columns],
    }


def _column(one: ColumnDrift) -> dict[str, Any]:
    return {
        "column": one.name,
        "drifted": one.drifted,
        "grows": one.grows,
        "method": one.method,
        "value": one.value,
        "threshold": one.threshold,
        "p": one.p,
        "importance": one.importance,
        **{side: figures_document(figures) for side, figures in (("baseline", one.reference), ("window", one.current))},
    }


def figures_document(figures: tuple[float, ...]) -> dict[str, float | None]:
    """Mean, median, 95th percentile and share missing; null where there is none."""
    # NaN isn't equal to itself, and JSON has none.
    named = zip(("mean", "median", "p95", "missing"), figures, strict=True)
    return {name: value if value == value else None for name, value in named}


def _too_few(one: TooFew) -> dict[str, Any]:
    return {"against": one.against, "version": one.version or None, "rows": one.rows, "why": one.why}

"""The job `events`: how many events of each feed arrive, how late, with which clock, and whether reports are organised.

A feed is a kind of event and its source: the source that a signal names, else the sender of the API key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.events import EventHour, Feed, Hours, Reports
from leads.db.monitoring.rows import MetricRow
from leads.estimates.intervals import Interval, clopper_pearson
from leads.estimates.slices import slice_of
from monitoring.quality.usual import HISTORY, HISTORY_HOURS, Counts, Missing, missing
from monitoring.watch.jobs import HOURLY, PLATFORM, Job
from monitoring.watch.values import measured
from monitoring.watch.world import World

VOLUME, MISSING, LATE = "events.volume", "events.missing", "events.late_share"
DELAY, CLOCK = "events.delay_h", "events.clock_shift_h"
CONCENTRATION, TOP = "reports.concentration", "reports.top"

# Made by reviewers, who have weekends; the queue's age says whether they come.
_NO_FEED = "decision_made"
_MOST_FEEDS = 50
# Fewer events of a source in an hour say nothing about its clock.
_FEWEST_EVENTS = 8
# The usual delay is that of windows that ended this long ago, so that a clock that has been wrong since isn't usual.
_PAST: Micros = 16 * clock.DAY
_RECENT: Micros = 2 * clock.DAY
_FEWEST_HOURS = 3
_LATE_H = 1.0
# Reports of an hour are organised if few subjects get most of them: so many subjects, from at least so many reporters.
_FEW_SUBJECTS, _FEWEST_REPORTERS = 3, 20
# And if they are so many times the reporters that the most reported subjects had in all but 1% of earlier hours.
_ABOVE_USUAL = 3.0


def measure(world: World, harm: str, until: Micros) -> list[MetricRow]:
    """Measure the hour that ends at `until`; if it isn't over, only what parts of an hour can tell."""
    since = until - clock.HOUR
    hour = world.events(since, until)
    before = world.earlier((DELAY, TOP), PLATFORM, since - _PAST, since)
    rows = [row for source, delays in hour.delays.items() for row in _clock(source, delays, before, since, until)]
    rows += [row for harm_, found in hour.reports.items() for row in _reports(harm_, found, before, since, until)]
    if until <= world.now:
        rows += _volumes(world, hour, since, until)
    return rows


def _clock(source: str, delays: Hours, before: Iterable[MetricRow], since: Micros, until: Micros) -> list[MetricRow]:
    n, slice_ = len(delays), slice_of(source=source)
    if n < _FEWEST_EVENTS:
        return []
    low, middle, high = (float(x) for x in np.quantile(delays, (0.1, 0.5, 0.9)))
    late = clopper_pearson(int((delays > _LATE_H).sum()), n)

    def row(name: str, found: Interval, method: str) -> MetricRow:
        return measured(PLATFORM, since, until, name, found, n, method, slice_=slice_)

    rows = [
        row(DELAY, Interval(middle, low, high), "median and 10% to 90% of a sample"),
        row(LATE, late, f"share of a sample that arrives over {_LATE_H:g} h late; Clopper-Pearson"),
    ]
    usual = _usual_delay([(one.until, one.value) for one in before if one.name == DELAY and one.slice == slice_], until)
    if usual is not None:
        # A clock that is wrong shifts all events alike; what was held up and is caught up with is late by all amounts.
        together = high - low <= max(1.0, abs(middle - usual) / 4)
        found = Interval(middle - usual, low - usual if together else min(0.0, low - usual), high - usual)
        rows.append(row(CLOCK, found, "median delay - usual delay; 10% to 90%, from 0 if they are far apart"))
    return rows


def _usual_delay(before: list[tuple[Micros, float | None]], until: Micros) -> float | None:
    known = [(at, value) for at, value in before if value is not None]
    old = [value for at, value in known if at <= until - _RECENT]
    if len(old) >= _FEWEST_HOURS:
        return float(np.quantile(old, 0.9))
    return float(np.median([value for _, value in known])) if len(known) >= _FEWEST_HOURS else None


def _reports(harm: str, found: Reports, before: Iterable[MetricRow], since: Micros, until: Micros) -> list[MetricRow]:
    slice_ = slice_of(harm=harm)
    top = sum(n for _, n in found.most[:_FEW_SUBJECTS])
    share = clopper_pearson(top, found.pairs, confidence=0.998)
    earlier = [one.value for one in before if one.name == TOP and one.slice == slice_ and one.value is not None]
    usual = float(np.quantile(earlier, 0.99)) if earlier else 0.0
    named = ", ".join(f"{subject.key} ({n})" for subject, n in found.most[:_FEW_SUBJECTS])
    if top < max(_FEWEST_REPORTERS, _ABOVE_USUAL * usual):
        share, named = share._replace(lo=0.0), ""
    method = (
        f"share of reports about the {_FEW_SUBJECTS} most reported subjects; Clopper-Pearson 99.8%, 0 below "
        f"{_FEWEST_REPORTERS} reporters and below {_ABOVE_USUAL:g} x what is usual"
    )
    if named:
        method += f"; most reported: {named}"
    return [
        measured(PLATFORM, since, until, CONCENTRATION, share, found.pairs, method, slice_=slice_),
        measured(PLATFORM, since, until, TOP, float(top), found.pairs, "number of reports", slice_=slice_),
    ]


def _volumes(world: World, hour: EventHour, since: Micros, until: Micros) -> list[MetricRow]:
    rows = _volume_rows(hour.counts, since)
    stored = world.earlier((VOLUME,), PLATFORM, since - HISTORY, since)
    if not stored:
        for start, found in world.event_counts(since - HISTORY, since).items():
            stored += _volume_rows(found, start)
        rows += stored
    history = _history([*stored, *_volume_rows(hour.counts, since)], since)
    whole = history.pop("", None)
    total = None if whole is None else missing(whole)
    if total is not None:
        rows.append(_missing_row("", total, until))
        if total.found.lo > 0.9:
            # Everything stopped: that is one fault, not one of each feed.
            return rows
    for slice_, counts in history.items():
        own = None if f"kind={_NO_FEED}" in slice_ else missing(counts)
        if own is not None:
            rows.append(_missing_row(slice_, own, until))
    return rows


def _missing_row(slice_: str, one: Missing, until: Micros) -> MetricRow:
    since = until - one.hours * clock.HOUR
    return measured(PLATFORM, since, until, MISSING, one.found, one.n, one.method, slice_=slice_)


def _volume_rows(counts: Mapping[Feed, int], since: Micros) -> list[MetricRow]:
    """The hour's number of events, in all and of its largest feeds."""
    largest = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST_FEEDS]
    named = [("", sum(counts.values())), *((slice_of(kind=kind, source=source), n) for (kind, source), n in largest)]
    until = since + clock.HOUR
    return [
        measured(PLATFORM, since, until, VOLUME, float(n), n, "number of events", slice_=slice_) for slice_, n in named
    ]


def _history(rows: Iterable[MetricRow], since: Micros) -> dict[str, Counts]:
    """(h,) counts of the hours up to the one that begins at `since`, by slice; NaN where nothing was measured."""
    places: dict[str, dict[int, int]] = {}
    for row in rows:
        place = HISTORY_HOURS - (since - row.since) // clock.HOUR
        places.setdefault(row.slice, {})[place] = row.n
    measured_hours = [place for place in places.get("", ()) if place >= 0]
    found: dict[str, Counts] = {}
    for slice_, by_place in places.items():
        counts = np.full(HISTORY_HOURS + 1, np.nan)
        counts[measured_hours] = 0.0
        for place, n in by_place.items():
            counts[place] = n
        found[slice_] = counts
    return found


EVENTS = Job("events", HOURLY, measure, of_platform=True, provisional=True)

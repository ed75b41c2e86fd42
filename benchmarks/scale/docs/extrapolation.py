"""What a larger platform would need, computed from the measures of a run and from assumptions.

Nothing was measured at that size. Each estimate shows its arithmetic, so that readers can put in other numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.report import Measure
from benchmarks.scale.folding import PARTITIONS
from benchmarks.scale.growth import Key, series_of
from leads.errors import Unavailable

_DAY_S = 86_400
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Found(NamedTuple):
    """The measures that the estimates rest on, each at the largest size that was measured.

    Args:
        events: how many the largest log has.
        fold_s, score_s: time to fold an event in a first pass, and to fold and score a new one.
        one_of_many_s: time that one of 64 partitions takes per event of the log.
        memory_mb: of the process that needs most: folding or scoring.
        scored: subjects scored per event; a subject that several events of one batch touch is scored once.
        prediction_bytes: size of the prediction log per subject scored.
        join_s: time to join frames; nearly all of it is reading the log's segments, whatever the number of rows.
    """

    events: int
    fold_s: float
    one_of_many_s: float
    score_s: float
    append_s: float
    memory_mb: float
    disk_bytes: float
    scored: float
    prediction_bytes: float
    join_s: float
    state_bytes: float
    online_bytes: float

    @property
    def shared_s(self) -> float:
        """What every partition does with each event, whoever owns its keys: read and route it."""
        return (PARTITIONS * self.one_of_many_s - self.fold_s) / (PARTITIONS - 1)

    @property
    def subject_s(self) -> float:
        """What a new event costs in addition to folding it, per subject scored: mostly scoring and online writes."""
        return (self.score_s - self.fold_s) / self.scored


class Platform(NamedTuple):
    """The platform that is planned for."""

    items: float = 1e8
    plays_per_day: float = 1e9


class Assumed(NamedTuple):
    """What was not measured; `ASSUMPTIONS` has the reasons."""

    plays_share: float = 0.85
    subjects: float = 1.0
    peak: float = 2.5
    busy: float = 0.6
    cores: int = 16
    memory_gb: float = 64
    rows: float = 2.0
    keys: int = 3
    copies: int = 2
    kept_days: int = 60
    night_h: float = 8


PLANNED, ASSUMED = Platform(), Assumed()
ASSUMPTIONS: dict[str, str] = {
    "plays_share": "share of events that are plays, as in the benchmark's log",
    "subjects": "subjects scored per event, because hardly any two events of a batch are about the same one",
    "peak": "events in the busiest hour, relative to the mean hour",
    "busy": "how busy a core or a node's memory may be at that peak",
    "cores": "cores of a machine, each as fast as those of the run",
    "memory_gb": "memory of a machine, in GB",
    "rows": "bytes of all rows (also accounts, parents, buckets, devices), relative to those of the items",
    "keys": "partitions that need an event if the log is split by key: a play's item, account and device",
    "copies": "copies of each online row: one to serve and one to take over",
    "kept_days": "days of events that are folded again after a change of the features, and that frames are joined over",
    "night_h": "hours that folding them again, or joining frames over them, may take",
}


class Estimate(NamedTuple):
    """One estimate: its value as text, and how it was computed."""

    name: str
    value: str
    arithmetic: str


def found_in(measures: Sequence[Measure]) -> Found:
    """Pick what the estimates need.

    Raises:
        Unavailable: a measure is missing, because a part failed.
    """
    series = series_of(measures)

    def largest(what: str, of: str = "events") -> float:
        if (key := Key(of, what)) not in series:
            raise Unavailable(f"There is nothing to extrapolate from: {of}: {what} was not measured.")
        return series[key].largest

    return Found(
        events=max(series[Key("events", "folded")].values) if Key("events", "folded") in series else 0,
        fold_s=1 / largest("folded"),
        one_of_many_s=1 / largest(f"folded, one of {PARTITIONS} partitions"),
        score_s=1 / largest("log → online with scoring"),
        append_s=1 / largest("appended"),
        memory_mb=max(largest("memory while folding"), largest("memory while scoring")),
        disk_bytes=largest("disk"),
        scored=largest("subjects scored"),
        prediction_bytes=largest("prediction log"),
        join_s=largest("time to join frames"),
        state_bytes=largest("state", "items"),
        online_bytes=largest("online store", "items"),
    )


def extrapolated(found: Found, platform: Platform = PLANNED, assumed: Assumed = ASSUMED) -> list[Estimate]:
    """Every estimate, in an order in which later ones use earlier ones."""
    per_day = platform.plays_per_day / assumed.plays_share
    mean = per_day / _DAY_S
    peak = mean * assumed.peak
    return [
        Estimate(
            "events per day",
            amount(per_day),
            f"{amount(platform.plays_per_day)} plays / {assumed.plays_share} plays per event",
        ),
        Estimate("events/s, mean", amount(mean), f"{amount(per_day)} / {amount(_DAY_S)} s"),
        Estimate("events/s, busiest hour", amount(peak), f"{amount(mean)} × {assumed.peak:g}"),
        *_workers(found, peak, assumed),
        *_stores(found, platform, per_day, assumed),
        *_batch(found, per_day, assumed),
    ]


def event_s(found: Found, assumed: Assumed) -> float:
    """Time to fold an event and to score what it touches, if no other event of its batch touches the same."""
    return found.fold_s + assumed.subjects * found.subject_s


def partitions_as_is(found: Found, peak: float, assumed: Assumed) -> int | None:
    """Partitions that keep up when each one reads and routes every event; None if no number of them does."""
    left = assumed.busy - peak * found.shared_s
    return math.ceil(peak * (event_s(found, assumed) - found.shared_s) / left) if left > 0 else None


def partitions_by_key(found: Found, peak: float, assumed: Assumed) -> int:
    """Partitions that keep up when each one reads only the events that it needs, which are in `keys` of them."""
    per_event = event_s(found, assumed) + (assumed.keys - 1) * found.shared_s
    return math.ceil(peak * per_event / assumed.busy)


def _workers(found: Found, peak: float, assumed: Assumed) -> Iterable[Estimate]:
    score, shared, busy = _us(event_s(found, assumed)), _us(found.shared_s), assumed.busy
    as_is, by_key = partitions_as_is(found, peak, assumed), partitions_by_key(found, peak, assumed)
    machines = math.ceil(by_key / assumed.cores)
    memory = assumed.cores * found.memory_mb / 1_024
    fold, subjects = _us(found.fold_s), f"{assumed.subjects:g}"
    arithmetic = f"{fold} + {subjects} × ({_us(found.score_s)} - {fold}) / {amount(found.scored)}"
    yield Estimate("time to fold and score an event", score, arithmetic)
    yield Estimate(
        "events/s that no number of today's partitions exceeds",
        amount(busy / found.shared_s),
        f"{busy} / {shared} that each spends on reading and routing every event",
    )
    yield Estimate(
        "partitions, today's code",
        "not possible" if as_is is None else amount(as_is),
        f"{amount(peak)} × ({score} - {shared}) / ({busy} - {amount(peak)} × {shared})",
    )
    yield Estimate(
        "partitions, if the log is split by key",
        amount(by_key),
        f"{amount(peak)} × ({score} + {assumed.keys - 1} × {shared}) / {busy}",
    )
    yield Estimate("machines for these", amount(machines), f"{amount(by_key)} / {assumed.cores} cores")
    yield Estimate(
        "memory of the workers on a machine",
        f"{amount(memory)} of {amount(assumed.memory_gb)} GB",
        f"{assumed.cores} × {amount(found.memory_mb)} MB",
    )
    yield Estimate(
        "writers that appending needs, at the speed of one on SQLite",
        amount(math.ceil(peak * found.append_s / busy)),
        f"{amount(peak)} × {_us(found.append_s)} / {busy}",
    )


def _stores(found: Found, platform: Platform, per_day: float, assumed: Assumed) -> Iterable[Estimate]:
    state = platform.items * found.state_bytes * assumed.rows
    online = platform.items * found.online_bytes * assumed.rows * assumed.copies
    nodes = math.ceil(online / 1e9 / (assumed.memory_gb * assumed.busy))
    rows = per_day * found.disk_bytes
    predictions = per_day * assumed.subjects * found.prediction_bytes
    daily = rows + predictions
    items, per_item = amount(platform.items), f"{assumed.rows:g}"
    yield Estimate(
        "state of all partitions, on disk",
        size(state),
        f"{items} items × {amount(found.state_bytes)} bytes × {per_item}",
    )
    yield Estimate(
        "online rows, in memory",
        size(online),
        f"{items} items × {amount(found.online_bytes)} bytes × {per_item} × {assumed.copies} copies",
    )
    yield Estimate(
        "nodes of the online store",
        amount(nodes),
        f"{size(online)} / ({amount(assumed.memory_gb)} GB × {assumed.busy})",
    )
    yield Estimate(
        "disk per day: log, segments, rows",
        size(rows),
        f"{amount(per_day)} events × {amount(found.disk_bytes)} bytes",
    )
    yield Estimate(
        "disk per day: prediction log",
        size(predictions),
        f"{amount(per_day)} events × {assumed.subjects:g} × {amount(found.prediction_bytes)} bytes",
    )
    both = f"({size(rows)} + {size(predictions)})"
    for time, days in ((f"{assumed.kept_days} days", assumed.kept_days), ("a year", 365)):
        yield Estimate(f"disk for {time}", size(daily * days), f"{both} × {days}")


def _batch(found: Found, per_day: float, assumed: Assumed) -> Iterable[Estimate]:
    events = per_day * assumed.kept_days
    replay_h = events * (found.fold_s + (assumed.keys - 1) * found.shared_s) / 3_600
    scan_h = found.join_s * events / found.events / 3_600
    yield Estimate(
        f"core hours to fold {assumed.kept_days} days again",
        amount(replay_h),
        f"{amount(events)} events × ({_us(found.fold_s)} + {assumed.keys - 1} × {_us(found.shared_s)}) / 3,600",
    )
    yield Estimate(
        "machines for that in a night",
        _machines(replay_h, assumed),
        f"{amount(replay_h)} / ({assumed.cores} cores × {assumed.night_h:g} h)",
    )
    yield Estimate(
        f"core hours to join frames over {assumed.kept_days} days",
        amount(scan_h),
        f"{amount(found.join_s)} s × {amount(events)} / {amount(found.events)} events / 3,600",
    )
    yield Estimate(
        "machines for that in a night",
        _machines(scan_h, assumed),
        f"{amount(scan_h)} / ({assumed.cores} cores × {assumed.night_h:g} h)",
    )


def _machines(hours: float, assumed: Assumed) -> str:
    return amount(math.ceil(hours / (assumed.cores * assumed.night_h)))


def amount(value: float) -> str:
    """A number with three significant digits.

    >>> amount(1_176_470_588), amount(13_617), amount(0.0123), amount(1e8)
    ('1.18 × 10⁹', '13,600', '0.0123', '10⁸')
    """
    rounded = float(f"{value:.3g}")
    if rounded < 1e6:
        return f"{rounded:,g}"
    power = math.floor(math.log10(rounded))
    digits = f"{rounded / 10**power:.3g}"
    raised = "10" + str(power).translate(_RAISED)
    return raised if digits == "1" else f"{digits} × {raised}"


def size(value: float) -> str:
    """A number of bytes in a unit that fits.

    >>> size(6e8), size(1.3e9), size(7.01e13)
    ('600 MB', '1.3 GB', '70.1 TB')
    """
    unit, factor = next((one for one in _UNITS if value >= one[1]), _UNITS[-1])
    return f"{amount(value / factor)} {unit}"


def _us(seconds: float) -> str:
    return f"{amount(seconds * 1e6)} µs"

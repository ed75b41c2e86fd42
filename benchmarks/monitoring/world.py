"""A generated platform as monitoring's jobs read it, and the rows that they wrote, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from benchmarks.monitoring.generated import COLUMNS, HARM, REVIEW, START, TYPES, VERSION, HourRows, Platform
from leads import clock
from leads.alerting.policy import MonitoringPolicy
from leads.clock import Micros
from leads.db.model_changes import CHAMPION, ModelChange
from leads.db.monitoring.decided import Decided, Verdict
from leads.db.monitoring.events import EventHour, Feed, Reports
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_of
from leads.events import Subject
from leads.platform.declaration import load_platform
from leads.policies import HarmPolicy, Policies, TierPolicy
from leads.settings import Settings
from models.registry.versions import VersionReader
from models.text.description import BINS
from monitoring.summaries.reference import Reference
from monitoring.summaries.summary import Summary
from monitoring.summaries.tally import Described, Rows
from monitoring.watch.paired import Agreement, ScorePair
from monitoring.watch.world import Hour, Skewed, Waiting, World

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# How long before the first measured hour the version's reference sample ends, and how long it is.
REFERENCE_DAYS, HISTORY_DAYS = 28, 28
_REFERENCE_ROWS = 5_000
_REVIEWED_AFTER: Micros = 2 * clock.HOUR
# Hours and values that are older than this are forgotten.
_KEPT: Micros = 33 * clock.DAY
_PLATFORM = """
version: 1
types:
  account: {title: Account}
  comment: {title: Comment, fields: {text: {kind: text, judged: true}, genre: {kind: category}}}
  track: {title: Track, fields: {text: {kind: text, judged: true}, genre: {kind: category}}}
"""


class Store:
    """Measured values, as `metric_rows` keeps them."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Micros, dict[tuple[str, str, str, Micros], MetricRow]]] = defaultdict(
            lambda: defaultdict(dict)
        )

    def write(self, rows: Iterable[MetricRow]) -> None:
        for row in rows:
            self._by_name[row.name][row.until][row.harm, row.slice, row.version, row.since] = row

    def read(self, names: Iterable[str], harm: str | None, since: Micros, until: Micros) -> list[MetricRow]:
        """Newest window first."""
        found = []
        for name in names:
            for end in sorted(self._by_name[name], reverse=True):
                if since < end <= until:
                    found += [row for row in self._by_name[name][end].values() if harm is None or row.harm == harm]
        return found

    def forget(self, before: Micros) -> None:
        """Drop values of windows that ended before."""
        for by_end in self._by_name.values():
            for end in [end for end in by_end if end < before]:
                del by_end[end]


class GeneratedWorld(World):
    """What jobs read of a generated platform at `now`. The hour that isn't over is there as far as it has come."""

    def __init__(self, generated: Platform, folder: Path) -> None:
        path = folder / "platform.yaml"
        path.write_text(_PLATFORM, encoding="utf-8")
        super().__init__(
            Settings(home=folder),
            policies(),
            load_platform(path),
            cast(Engine, None),
            cast(VersionReader, None),
            START,
            "generated",
        )
        self.generated, self.store = generated, Store()
        # The windows of four weeks, each of which is compared with again every day.
        self.most_windows = 8_000
        self._rows_of: dict[Micros, HourRows] = {}
        self._counted: dict[Micros, dict[str, Summary]] = {}
        self._reference: Reference | None = None

    def rows(self, hour: Micros) -> HourRows:
        """What happened in an hour, as far as it is over."""
        if hour not in self._rows_of:
            self._rows_of[hour] = self.generated.hour(hour)
            for old in [at for at in self._rows_of if at < self.now - _KEPT]:
                del self._rows_of[old]
                self._counted.pop(old, None)
        return self._rows_of[hour]

    def _summaries(self, hour: Micros) -> dict[str, Summary]:
        if hour + clock.HOUR <= self.now:
            if hour not in self._counted:
                self._counted[hour] = _divided(self.rows(hour), 1.0)
            return self._counted[hour]
        over = (self.now - hour) / clock.HOUR
        return _divided(self.rows(hour), over) if over > 0 else {}

    def hours(self, harm: str, since: Micros, until: Micros, *, role: str = CHAMPION, slice_: str = "") -> list[Hour]:
        if role != CHAMPION:
            return []
        first = max(since // clock.HOUR * clock.HOUR, START)
        found = []
        for hour in range(first, until, clock.HOUR):
            if hour >= since and (summary := self._summaries(hour).get(slice_)) is not None:
                found.append(Hour(hour, VERSION, summary))
        return found

    def forget(self, harm: str, slice_: str, *, role: str = CHAMPION) -> None:
        """Nothing: hours are forgotten by their age."""

    def slices(self, harm: str, since: Micros, until: Micros, *, role: str = CHAMPION) -> list[str]:
        found = {name for hour in range(max(since, START), until, clock.HOUR) for name in self._summaries(hour)}
        return sorted(found - {""})

    def newest_hour(self, harm: str, until: Micros) -> Micros | None:
        return until - clock.HOUR

    def input_names(self, harm: str, version: str) -> tuple[str, ...] | None:
        return COLUMNS

    def reference(self, harm: str, version: str) -> Reference | None:
        if self._reference is None:
            hours = range(START - REFERENCE_DAYS * clock.DAY, START, clock.HOUR)
            quiet = Platform(self.generated.seed, per_hour=self.generated.per_hour)
            every = [quiet.hour(hour) for hour in hours]
            random = np.random.default_rng([self.generated.seed, 9])
            places = [(i, j) for i, one in enumerate(every) for j in range(len(one))]
            chosen = random.choice(len(places), min(_REFERENCE_ROWS, len(places)), replace=False)
            picked = [places[k] for k in sorted(chosen.tolist())]
            rows = _joined([_some(every[i], np.array([j])) for i, j in picked])
            self._reference = Reference(
                counted(rows), np.array([every[i].hour for i, _ in picked]), [str(a) for a in rows.accounts]
            )
        return self._reference

    def log_began(self) -> Micros | None:
        return START - 200 * clock.DAY

    def importance(self, harm: str, version: str) -> Mapping[str, float]:
        return {name: 1 / len(COLUMNS) for name in COLUMNS} | {"score": 1.0}

    def changes(self, harm: str) -> list[ModelChange]:
        return []

    def earlier(self, names: Iterable[str], harm: str, since: Micros, until: Micros) -> list[MetricRow]:
        return self.store.read(names, harm, since, until)

    def events(self, since: Micros, until: Micros) -> EventHour:
        rows, over = self.rows(since), min(1.0, (self.now - since) / clock.HOUR)
        arrived = {feed: delays[: round(len(delays) * over)] for feed, delays in rows.events.items()}
        counts: dict[Feed, int] = {feed: len(delays) for feed, delays in arrived.items() if len(delays)}
        by_source: dict[str, list[Doubles]] = defaultdict(list)
        for (_, source), late in arrived.items():
            by_source[source].append(late[:200])
        delays = {source: np.sort(np.concatenate(parts)) for source, parts in by_source.items() if sum(map(len, parts))}
        most = sorted(rows.reported.tolist(), reverse=True)
        reports = {HARM: Reports(sum(most), tuple((Subject("comment", f"r{i}"), n) for i, n in enumerate(most[:5])))}
        return EventHour(counts, delays, reports if most and over > 0.5 else {})

    def event_counts(self, since: Micros, until: Micros) -> Mapping[Micros, Mapping[Feed, int]]:
        return {
            hour: self.events(hour, hour + clock.HOUR).counts for hour in range(max(since, START), until, clock.HOUR)
        }

    def waiting_events(self) -> Waiting | None:
        return None

    def oldest_lead(self, harm: str) -> Micros | None:
        return self.now - _REVIEWED_AFTER

    def decided(self, harm: str, since: Micros, until: Micros) -> Decided:
        first = max(START, since // clock.HOUR * clock.HOUR - _REVIEWED_AFTER)
        found: list[Verdict] = []
        for hour in range(first, min(until, self.now // clock.HOUR * clock.HOUR), clock.HOUR):
            at = hour + _REVIEWED_AFTER
            if since <= at < until:
                found += _verdicts(self.rows(hour), at)
        return Decided(tuple(found))

    def categories(self, subjects: Sequence[Subject]) -> Mapping[str, Sequence[str | None]]:
        return {}

    def skew(self, harm: str, since: Micros, until: Micros) -> Skewed | None:
        return Skewed(1_000, 0)

    def agreement(self, harm: str, since: Micros, until: Micros) -> Agreement | None:
        return None

    def pairs(
        self, harm: str, since: Micros, until: Micros, subjects: Collection[Subject]
    ) -> tuple[str, list[ScorePair]]:
        return "", []


def policies() -> Policies:
    """The policies of the generated platform: one harm, whose leads are all reviewed."""
    harm = HarmPolicy(
        title="Spam",
        subject_types=TYPES,
        severity=3,
        dsa_category="STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
        review=TierPolicy(precision=0.5, at_least=REVIEW),
    )
    return Policies(version=1, harms={HARM: harm}, monitoring=MonitoringPolicy(slices=("type", "language")))


def counted(rows: HourRows) -> Rows:
    """An hour's rows as summaries count them."""
    words = [{f"w{word % BINS}" for word in line} for line in rows.words.tolist()]
    described = Described(
        {"language": rows.languages.tolist(), "genre": rows.genres.tolist()}, {}, {"vocabulary": words}
    )
    tiers = np.where(rows.scores >= REVIEW, "review", "none").tolist()
    return Rows(rows.scores, tiers, rows.types.tolist(), COLUMNS, rows.matrix, described)


def _divided(rows: HourRows, over: float) -> dict[str, Summary]:
    """The summaries of the first part of an hour, by slice."""
    n = round(len(rows) * over)
    if not n:
        return {}
    some = counted(rows if n == len(rows) else _some(rows, np.arange(n)))
    found = {"": some.summary(np.arange(n), n)}
    for (name, value), places in some.divided(("type", "language")).items():
        found[slice_of(**{name: value})] = some.summary(places, len(places))
    return found


def _verdicts(rows: HourRows, at: Micros) -> list[Verdict]:
    return [
        Verdict(
            at,
            Subject(str(rows.types[i]), f"{rows.hour}-{i}"),
            bool(rows.verdicts[i]),
            float(rows.scores[i]),
            "review",
            VERSION,
            f"account:{rows.accounts[i]}",
            f"{rows.hour}-{i}",
            True,
        )
        for i in np.flatnonzero(rows.scores >= REVIEW).tolist()
    ]


def _some(rows: HourRows, places: Ints) -> HourRows:
    return HourRows(
        rows.hour,
        rows.matrix[places],
        rows.scores[places],
        rows.labels[places],
        rows.verdicts[places],
        rows.types[places],
        rows.languages[places],
        rows.genres[places],
        rows.accounts[places],
        rows.words[places],
    )


def _joined(every: Sequence[HourRows]) -> HourRows:
    return HourRows(
        every[0].hour,
        np.concatenate([one.matrix for one in every]),
        np.concatenate([one.scores for one in every]),
        np.concatenate([one.labels for one in every]),
        np.concatenate([one.verdicts for one in every]),
        np.concatenate([one.types for one in every]),
        np.concatenate([one.languages for one in every]),
        np.concatenate([one.genres for one in every]),
        np.concatenate([one.accounts for one in every]),
        np.concatenate([one.words for one in every]),
    )

"""What monitoring jobs read, as a test plans it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHAMPION
from leads.db.monitoring.decided import Decided, Verdict
from leads.db.monitoring.events import EventHour, Feed
from leads.db.monitoring.rows import MetricRow
from leads.events import Subject
from leads.platform.declaration import load_platform
from leads.policies import load_policies
from leads.settings import PLATFORM_FILE, POLICIES_FILE
from monitoring.summaries.reference import Reference
from monitoring.summaries.sketch import sketch
from monitoring.summaries.summary import SCORE, Summary
from monitoring.watch.jobs import Job
from monitoring.watch.world import Hour, Skewed, Waiting, World

# A Thursday.
NOW = clock.from_text("2026-03-26T12:00:00Z")


class PlannedWorld(World):
    """A world without a database. `run` keeps what jobs measure, and they read it again.

    Args:
        hour: the events of the hour that begins at a time.
        counts: what `event_counts` gives.
    """

    def __init__(
        self,
        now: Micros = NOW,
        *,
        hours: Iterable[Hour] = (),
        hour: Callable[[Micros], EventHour] = lambda since: EventHour(),
        counts: Mapping[Micros, Mapping[Feed, int]] | None = None,
        verdicts: Iterable[Verdict] = (),
        decided: Decided | None = None,
        skewed: Skewed | None = None,
        waiting: Waiting | None = None,
        oldest: Micros | None = None,
        reference: Reference | None = None,
        languages: Mapping[Subject, str] | None = None,
        platform: Path = PLATFORM_FILE,
    ) -> None:
        nothing = cast(Any, None)
        super().__init__(nothing, load_policies(POLICIES_FILE), load_platform(platform), nothing, nothing, now, "h")
        self.rows: list[MetricRow] = []
        self._planned, self._hour, self._counts = list(hours), hour, counts or {}
        self._decisions = decided or Decided(tuple(sorted(verdicts)))
        self._skewed, self._waiting, self._oldest = skewed, waiting, oldest
        self._reference, self._languages = reference, languages or {}

    def run(self, job: Job, harm: str, until: Micros) -> list[MetricRow]:
        """Measure a window, and keep what was found."""
        rows = job.measure(self, harm, until)
        self.rows += rows
        return rows

    def hours(self, harm: str, since: Micros, until: Micros, *, role: str = CHAMPION, slice_: str = "") -> list[Hour]:
        return [one for one in self._planned if since <= one.hour < until and role == CHAMPION and not slice_]

    def input_names(self, harm: str, version: str) -> tuple[str, ...] | None:
        return tuple(dict.fromkeys(name for one in self._planned for name in one.summary.columns if name != SCORE))

    def reference(self, harm: str, version: str) -> Reference | None:
        return self._reference

    def earlier(self, names: Iterable[str], harm: str, since: Micros, until: Micros) -> list[MetricRow]:
        wanted = set(names)
        found = [row for row in self.rows if row.name in wanted and row.harm == harm and since < row.until <= until]
        return sorted(found, key=lambda row: -row.until)

    def events(self, since: Micros, until: Micros) -> EventHour:
        return self._hour(since)

    def event_counts(self, since: Micros, until: Micros) -> Mapping[Micros, Mapping[Feed, int]]:
        return {hour: counts for hour, counts in self._counts.items() if since <= hour < until}

    def decided(self, harm: str, since: Micros, until: Micros) -> Decided:
        return Decided(
            tuple(one for one in self._decisions.verdicts if since <= one.at < until),
            tuple(one for one in self._decisions.pairs if since <= one.at < until),
        )

    def categories(self, subjects: Sequence[Subject]) -> Mapping[str, Sequence[str | None]]:
        return {"language": [self._languages.get(subject) for subject in subjects]}

    def skew(self, harm: str, since: Micros, until: Micros) -> Skewed | None:
        return self._skewed

    def waiting_events(self) -> Waiting | None:
        return self._waiting

    def oldest_lead(self, harm: str) -> Micros | None:
        return self._oldest


def named(rows: Iterable[MetricRow], name: str, slice_: str = "") -> MetricRow:
    """The only row of this name and slice."""
    (found,) = (row for row in rows if row.name == name and row.slice == slice_)
    return found


def hour_of(
    hour: Micros, columns: Mapping[str, npt.NDArray[np.float64]], version: str = "1", **categories: Any
) -> Hour:
    """The summary of an hour with these columns, one value for each subject."""
    n = len(next(iter(columns.values())))
    sketches = {name: sketch(values) for name, values in columns.items()}
    return Hour(hour, version, Summary(n, n, sketches, categories))


def verdict(
    at: Micros,
    score: float,
    violating: bool,
    n: int,
    *,
    account: str | None = None,
    version: str = "1",
    tier: str = "review",
) -> Verdict:
    """The n-th verdict."""
    subject = Subject("comment", f"c{n}")
    return Verdict(at, subject, violating, score, tier, version, account or f"account:a{n}", f"text{n}", True)

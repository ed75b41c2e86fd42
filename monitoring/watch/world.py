"""What the jobs of a run read: summaries, versions and their references. What several jobs read is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import cursors, event_log, model_changes
from leads.db.engine import reading
from leads.db.items import current_items
from leads.db.model_changes import CHAMPION, ModelChange
from leads.db.monitoring import decided as decisions
from leads.db.monitoring import events as event_hours
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring import summaries
from leads.db.monitoring.decided import Decided
from leads.db.monitoring.events import EventHour, Feed
from leads.db.monitoring.rows import MetricRow
from leads.db.tables import leads as leads_table
from leads.errors import ModelRefused, NotFound, Unavailable
from leads.events import Subject
from leads.platform.declaration import Platform
from leads.policies import Policies
from leads.settings import Settings
from models.registry.versions import VersionReader, versions_cache
from models.text.description import describe
from models.text.sentence import place_of
from models.version import ModelVersion, load
from monitoring.summaries.reference import Reference, read_reference
from monitoring.summaries.summary import Summary, merge, unpack
from monitoring.watch.paired import Agreement, ScorePair, read_agreement, read_pairs


class Hour(NamedTuple):
    """The predictions of all hosts in an hour that starts at `hour` (µs), by one version."""

    hour: Micros
    version: str
    summary: Summary


class Skewed(NamedTuple):
    """How many logged predictions were derived again, and how many of them differ from what was served."""

    checked: int
    differing: int


class Waiting(NamedTuple):
    """Events that wait to be scored: since when the oldest of them is visible (µs), and how many there are."""

    since: Micros
    events: int


@dataclass
class World:
    """What a run reads. It lives for one run; nothing in it is written.

    Args:
        now: the time of the run, µs.
        host: the id of this home.
        most_windows: how many windows stay merged in memory, each of up to 100 KB.
    """

    settings: Settings
    policies: Policies
    platform: Platform
    engine: Engine
    registry: VersionReader
    now: Micros
    host: str
    notes: list[str] = field(default_factory=list)
    most_windows: int = 100
    _hours: dict[tuple[str, str, str], dict[Micros, list[Hour]]] = field(default_factory=dict)
    _versions: dict[tuple[str, str], ModelVersion | None] = field(default_factory=dict)
    _registry_error: Unavailable | None = None
    _windows: dict[tuple[str, str, Micros, Micros], Summary] = field(default_factory=dict)
    _references: dict[tuple[str, str], Reference | None] = field(default_factory=dict)
    _began: list[Micros | None] = field(default_factory=list)
    _decided: dict[tuple[Micros, Micros], Mapping[str, Decided]] = field(default_factory=dict)

    def note(self, line: str) -> None:
        """Tell people something, once."""
        if line not in self.notes:
            self.notes.append(line)

    def hours(self, harm: str, since: Micros, until: Micros, *, role: str = CHAMPION, slice_: str = "") -> list[Hour]:
        """The hours that begin in since ≤ hour < until and have predictions, oldest first, each version's by itself."""
        known = self._hours.setdefault((harm, role, slice_), {})
        wanted = range(since // clock.HOUR * clock.HOUR, until, clock.HOUR)
        missing = [hour for hour in wanted if hour not in known]
        if missing:
            known.update({hour: [] for hour in range(missing[0], missing[-1] + 1, clock.HOUR)})
            parts: dict[tuple[Micros, str], list[Summary]] = {}
            with reading(self.engine) as connection:
                stored = summaries.read(connection, harm, missing[0], missing[-1] + 1, role=role, slice_=slice_)
            for one in stored:
                try:
                    parts.setdefault((one.hour, one.version), []).append(unpack(one.summary))
                except ValueError as error:
                    self.note(f"{harm}: the summary of {clock.to_text(one.hour)} is left out: {error}.")
            for (hour, version), found in sorted(parts.items()):
                known[hour].append(Hour(hour, version, merge(found)))
        return [one for hour in wanted for one in known[hour] if since <= hour]

    def window(self, harm: str, since: Micros, until: Micros, *, slice_: str = "") -> Summary:
        """The champions' hours that begin in since ≤ hour < until, as one. The newest windows are kept."""
        key = harm, slice_, since, until
        if key not in self._windows:
            while len(self._windows) >= self.most_windows:
                del self._windows[next(iter(self._windows))]
            self._windows[key] = merge([hour.summary for hour in self.hours(harm, since, until, slice_=slice_)])
        return self._windows[key]

    def forget(self, harm: str, slice_: str, *, role: str = CHAMPION) -> None:
        """Forget the hours of a slice that were read: those of all slices of weeks take hundreds of megabytes."""
        self._hours.pop((harm, role, slice_), None)

    def slices(self, harm: str, since: Micros, until: Micros, *, role: str = CHAMPION) -> list[str]:
        """The slices that have summaries in the window, without that of everything."""
        with reading(self.engine) as connection:
            return summaries.slices(connection, harm, since, until, role=role)

    def newest_hour(self, harm: str, until: Micros) -> Micros | None:
        """The newest hour before `until` that has predictions of the champion; None if none has."""
        with reading(self.engine) as connection:
            return summaries.newest_hour(connection, harm, until, role=CHAMPION)

    def version(self, harm: str, version: str) -> ModelVersion | None:
        """A version of a harm; None if it doesn't exist any more or can't be read.

        Raises:
            Unavailable: the registry can't be reached.
        """
        key = harm, version
        if key not in self._versions:
            if self._registry_error is not None:
                # Asking again for every job would take minutes.
                raise self._registry_error
            try:
                path = self.registry.fetch(harm, version, versions_cache(self.settings, harm))
                self._versions[key] = load(path, place_of(self.settings), every_file=False)
            except (NotFound, ModelRefused):
                self._versions[key] = None
            except Unavailable as error:
                self._registry_error = error
                raise
        return self._versions[key]

    def input_names(self, harm: str, version: str) -> tuple[str, ...] | None:
        """The names of a version's inputs; None if the version can't be read."""
        found = self.version(harm, version)
        return None if found is None else found.input_names

    def reference(self, harm: str, version: str) -> Reference | None:
        """A version's reference sample; None if it can't be read, which a note says.

        Raises:
            Unavailable: the registry can't be reached.
        """
        key = harm, version
        if key not in self._references:
            self._references[key] = None
            found = self.version(harm, version)
            if found is not None:
                try:
                    self._references[key] = read_reference(found)
                except ValueError as error:
                    self.note(f"{harm} version {version}: {error}.")
        return self._references[key]

    def log_began(self) -> Micros | None:
        """When the platform's first event became visible, µs; None if there is none."""
        if not self._began:
            first = event_log.read(self.engine, 0, limit=1)
            self._began.append(first[0].visible_at if first else None)
        return self._began[0]

    def importance(self, harm: str, version: str) -> Mapping[str, float]:
        """The share of each input in the gain of the version's trees, which sums to 1; empty if it can't be read.

        The score has importance 1: it is what the inputs matter for.
        """
        found = self.version(harm, version)
        if found is None:
            return {}
        gains = found.booster.get_score(importance_type="total_gain")
        # Names of a booster without feature names are f0, f1, …
        by_name = {name: float(gains.get(name, gains.get(f"f{i}", 0.0))) for i, name in enumerate(found.input_names)}
        total = sum(by_name.values())
        return {name: gain / total if total else 0.0 for name, gain in by_name.items()} | {"score": 1.0}

    def changes(self, harm: str) -> list[ModelChange]:
        """The changes to a harm's versions, oldest first."""
        with reading(self.engine) as connection:
            return model_changes.history(connection, harm)

    def earlier(self, names: Iterable[str], harm: str, since: Micros, until: Micros) -> list[MetricRow]:
        """Measured values of windows that end in since < until ≤ `until`, newest first."""
        with reading(self.engine) as connection:
            return metric_rows.read(connection, names=tuple(names), harm=harm, since=since, until=until)

    def events(self, since: Micros, until: Micros) -> EventHour:
        """The events that became visible in since ≤ t < until."""
        with reading(self.engine) as connection:
            return event_hours.read(connection, since, until)

    def event_counts(self, since: Micros, until: Micros) -> Mapping[Micros, Mapping[Feed, int]]:
        """The number of events of each feed in the hours before the first measurement, as far as the log is quickly
        read."""
        with reading(self.engine) as connection:
            return event_hours.hourly_counts(connection, since, until, most=_MOST_EVENTS)

    def waiting_events(self) -> Waiting | None:
        """The events that no worker has scored yet; None if there are none."""
        with reading(self.engine) as connection:
            scored = cursors.scored(connection, self.settings.partitions)
            head = event_log.head(connection)
            if scored >= head.offset:
                return None
            return Waiting(event_log.visible_at(connection, scored + 1) or head.visible_at, head.offset - scored)

    def oldest_lead(self, harm: str) -> Micros | None:
        """When the oldest open lead of a harm was opened; None without open leads."""
        of = (leads_table.c.harm == harm) & (leads_table.c.state == "open")
        with reading(self.engine) as connection:
            found: Micros | None = connection.execute(
                sa.select(sa.func.min(leads_table.c.created_at)).where(of)
            ).scalar()
        return found

    def decided(self, harm: str, since: Micros, until: Micros) -> Decided:
        """What was decided under a harm in since ≤ t < until."""
        if (since, until) not in self._decided:
            with reading(self.engine) as connection:
                self._decided[since, until] = decisions.read(connection, since, until)
        return self._decided[since, until].get(harm, Decided())

    def categories(self, subjects: Sequence[Subject]) -> Mapping[str, Sequence[str | None]]:
        """The language and the declared categories of what subjects hold now, aligned with them; None where unknown."""
        if not subjects:
            return {}
        with reading(self.engine) as connection:
            items = current_items(connection, set(subjects))
        return describe([items.get(subject) for subject in subjects], self.platform).categories

    def skew(self, harm: str, since: Micros, until: Micros) -> Skewed | None:
        """The check of a sample of this host's predictions; None if there is nothing to check."""
        from monitoring.skew.check import check

        try:
            result = check(
                self.settings,
                [harm],
                until=until,
                length=until - since,
                sample=_SKEW_SAMPLE,
                registry=self.registry,
                clock_=lambda: self.now,
            )
        except NotFound:
            return None
        return next((Skewed(one.checked, one.differing) for one in result.harms if one.harm == harm), None)

    def agreement(self, harm: str, since: Micros, until: Micros) -> Agreement | None:
        """The tiers that champion and challenger gave the same subjects; None if this host's log has no such pair."""
        return read_agreement(self.settings.predictions_dir, harm, since, until)

    def pairs(
        self, harm: str, since: Micros, until: Micros, subjects: Collection[Subject]
    ) -> tuple[str, list[ScorePair]]:
        """The newest challenger, and its scores of these subjects with the champion's, oldest first; of this host."""
        return read_pairs(self.settings.predictions_dir, harm, since, until, subjects)


# Events that are read to know what is usual before the first measurement.
_MOST_EVENTS = 2_000_000
_SKEW_SAMPLE = 5_000

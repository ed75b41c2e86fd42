"""Rows of a small platform as summaries by hour, and a world that reads them from memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.platform.declaration import Platform as PlatformDeclaration
from leads.platform.declaration import load_platform
from leads.policies import Policies, load_policies
from leads.settings import PLATFORM_FILE, POLICIES_FILE
from models.version import ModelVersion
from monitoring.summaries.reference import Reference
from monitoring.summaries.summary import Summary
from monitoring.summaries.tally import Described, Rows
from monitoring.watch.world import Hour, World

Doubles = npt.NDArray[np.float64]

# A Monday at midnight.
START = clock.from_text("2026-03-02T00:00:00Z")
NAMES = (
    "item.reports_24h",
    "item.plays_24h",
    "account.age_h",
    "account.strikes",
    "item.reports_1h",
    "account.short_share_7d",
)
HARM = "spam"

# Changes the matrix of an hour in place.
Change = Callable[[Doubles, np.random.Generator], None]


def matrix(rows: int, random: np.random.Generator, *, age_h: float = 0.0) -> Doubles:
    """Rare counts, a heavy tail, an age, a lifetime counter, a rarer count, and a share that is sometimes missing."""
    made = np.column_stack(
        [
            np.where(random.random(rows) < 0.08, 1.0, 0.0),
            np.floor(random.lognormal(2, 1, rows)),
            random.exponential(300, rows) + age_h,
            random.poisson(0.3, rows) + age_h / 100,
            (random.random(rows) < 0.01).astype(np.float64),
            random.beta(2, 8, rows),
        ]
    )
    made[random.random(rows) < 0.2, 5] = np.nan
    return made


def rows_of(
    made: Doubles, random: np.random.Generator, *, words: Callable[[np.random.Generator], list[str]] | None = None
) -> Rows:
    """The rows with scores that follow the plays and the share, and what they hold."""
    margin = -3 + 0.5 * np.log1p(made[:, 1]) + np.nan_to_num(made[:, 5])
    scores = 1 / (1 + np.exp(-margin))
    tiers = np.where(scores > 0.35, "review", "none").tolist()
    types = np.where(random.random(len(made)) < 0.8, "comment", "track").tolist()
    languages = np.where(random.random(len(made)) < 0.7, "en", "de").tolist()
    held = [words(random) for _ in made] if words else random.geometric(0.05, (len(made), 6)).astype(str).tolist()
    return Rows(scores, tiers, types, NAMES, made, Described({"language": languages}, {}, {"vocabulary": held}))


@dataclass
class Platform:
    """Summaries by hour, made when they are read. Platforms share those of the hours in which nothing is special.

    Args:
        changes: by the hour's number since `START`, what changes its rows.
        versions: by the hour's number, the version that serves from then on.
        silent: hours without predictions.
    """

    per_hour: int = 120
    seed: int = 0
    changes: Callable[[int], Change | None] = lambda number: None
    versions: Mapping[int, str] = field(default_factory=lambda: {0: "3"})
    silent: Callable[[int], bool] = lambda number: False
    words: Callable[[int], Callable[[np.random.Generator], list[str]] | None] = lambda number: None
    ages: bool = False
    first: int = 0
    _made: dict[int, Rows] = field(default_factory=dict)
    _summaries: dict[tuple[int, str], Summary] = field(default_factory=dict)

    def rows(self, number: int) -> Rows:
        """The rows of an hour, which a test may change before anything reads their summaries."""
        if number not in self._made:
            random = np.random.default_rng([self.seed, number + 10_000])
            made = matrix(self.per_hour, random, age_h=float(number) if self.ages else 0.0)
            change = self.changes(number)
            if change is not None:
                change(made, random)
            self._made[number] = rows_of(made, random, words=self.words(number))
        return self._made[number]

    def summary(self, number: int, slice_: str) -> Summary:
        """The summary of an hour, or of a slice of its rows."""
        is_ordinary = not (self.ages or number in self._made or self.changes(number) or self.words(number))
        if is_ordinary:
            return _ordinary(self.per_hour, self.seed, number)[slice_]
        if (number, slice_) not in self._summaries:
            self._summaries[number, slice_] = _summary(self.rows(number), slice_)
        return self._summaries[number, slice_]

    def version(self, number: int) -> str:
        return self.versions[max(first for first in self.versions if first <= number)]

    def reference(self, rows: int = 3_000, *, hours: int = 24 * 28, seed: int = 99) -> Reference:
        """Rows of the 28 days before `START`."""
        random = np.random.default_rng(seed)
        at = START - random.integers(1, hours * clock.HOUR, rows)
        return Reference(rows_of(matrix(rows, random), random), np.sort(at))


SLICES = ("language=de", "language=en", "type=comment", "type=track")


def _summary(rows: Rows, slice_: str) -> Summary:
    if not slice_:
        return rows.summary(np.arange(len(rows.scores)), 2 * len(rows.scores))
    name, _, value = slice_.partition("=")
    places = rows.divided([name]).get((name, value), np.empty(0, np.int64))
    return rows.summary(places, len(places))


@cache
def _ordinary(per_hour: int, seed: int, number: int) -> Mapping[str, Summary]:
    rows = Platform(per_hour, seed).rows(number)
    return {slice_: _summary(rows, slice_) for slice_ in ("", *SLICES)}


@cache
def _reference() -> Reference:
    return Platform().reference()


@cache
def _files() -> tuple[Policies, PlatformDeclaration]:
    return load_policies(POLICIES_FILE), load_platform(PLATFORM_FILE)


class FakeWorld(World):
    """A world whose summaries and references are in memory."""

    def __init__(self, platform: Platform, *, references: Mapping[str, Reference | None] | None = None) -> None:
        given: dict[str, Any] = {"settings": None, "engine": None, "registry": None}
        policies, declared = _files()
        super().__init__(
            policies=policies,
            platform=declared,
            now=START + 60 * clock.DAY,
            host="here",
            **given,
        )
        self._rows = platform
        self._known = references if references is not None else {"3": _reference()}

    def hours(self, harm: str, since: Micros, until: Micros, *, role: str = "champion", slice_: str = "") -> list[Hour]:
        first, end = (since - START) // clock.HOUR, (until - START) // clock.HOUR
        found = []
        for number in range(max(first, self._rows.first), end):
            if not self._rows.silent(number):
                summary = self._rows.summary(number, slice_)
                if summary.rows:
                    found.append(Hour(START + number * clock.HOUR, self._rows.version(number), summary))
        return found

    def slices(self, harm: str, since: Micros, until: Micros, *, role: str = "champion") -> list[str]:
        return list(SLICES)

    def version(self, harm: str, version: str) -> ModelVersion | None:
        return None

    def reference(self, harm: str, version: str) -> Reference | None:
        return self._known.get(version)

    def importance(self, harm: str, version: str) -> Mapping[str, float]:
        return {name: 1 / len(NAMES) for name in NAMES} | {"score": 1.0}

    def log_began(self) -> Micros | None:
        return START - 400 * clock.DAY

    def newest_hour(self, harm: str, until: Micros) -> Micros | None:
        hours = self.hours(harm, START + self._rows.first * clock.HOUR, until)
        return hours[-1].hour if hours else None


def at_hour(number: int) -> Micros:
    """The start of an hour, by its number since `START`."""
    return START + number * clock.HOUR

"""Generated predictions of a platform for weeks and months: quiet ones, and ones in which something changes.

What makes real windows differ without drift is in it: rhythms of the day and the week, busy and quiet days, accounts
that stay active for hours and have their own ways, growing ages and lifetime counts, heavy tails, rare values, values
that are missing for a reason. Scores are calibrated: each row's label is drawn with its score as probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros

Doubles = npt.NDArray[np.float64]

# A Monday.
START: Micros = clock.from_text("2026-03-02T00:00:00Z")
HARM = "spam"
VERSION = "1"
COLUMNS = (
    "account.age_h",
    "account.items_24h",
    "account.items_90d",
    "account.strikes",
    "account.reports_7d",
    "account.short_share_24h",
    "account.night_share_7d",
    "account.devices_7d",
    "account.texts_7d",
    "item.plays_1h",
    "item.plays_24h",
    "item.listeners_24h",
    "item.reports_24h",
    "item.notices",
    "item.classifier_score",
    "text.log_odds",
)
LIFETIME = ("account.age_h", "account.strikes")
TYPES = ("comment", "track")
LANGUAGES = ("en", "de", "es", "pt", "fr")
GENRES = ("news", "talk", "music", "true_crime", "comedy", "sports")
SOURCES = ("mobile", "web", "partner")
KINDS = ("play", "post", "user_report")
_WORDS = 3_000
_ACCOUNTS = 4_000
REVIEW = 0.3


class Change(NamedTuple):
    """Something that changes from an instant on."""

    name: str
    at: Micros


@dataclass(eq=False)
class HourRows:
    """The subjects that were scored in an hour: n rows.

    Args:
        matrix: (n, len(COLUMNS)) float64, NaN where missing.
        scores, labels: (n,); a label says whether the subject violates, whoever knows.
        verdicts: (n,) what a reviewer would decide.
        words: (n, k) numbers of the words of each text.
        events: for each kind and source, the delays of the hour's events in hours (arrival minus occurrence).
        reported: the number of different reporters of each subject that was reported in the hour.
    """

    hour: Micros
    matrix: Doubles
    scores: Doubles
    labels: npt.NDArray[np.bool_]
    verdicts: npt.NDArray[np.bool_]
    types: npt.NDArray[np.str_]
    languages: npt.NDArray[np.str_]
    genres: npt.NDArray[np.str_]
    accounts: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    events: Mapping[tuple[str, str], Doubles] = field(default_factory=dict)
    reported: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores)


class Platform:
    """A platform that goes on hour by hour; equal seeds give equal rows.

    Args:
        per_hour: mean number of subjects scored in an hour.
        change: what changes; None: nothing.
    """

    def __init__(self, seed: int, *, per_hour: float = 150, change: Change | None = None) -> None:
        self.seed, self.per_hour, self.change = seed, per_hour, change
        random = np.random.default_rng([seed, 1])
        self._activity = random.lognormal(0, 1.0, _ACCOUNTS)
        self._joined = START - random.exponential(200 * 24, _ACCOUNTS) * clock.HOUR
        self._night = random.beta(2, 6, _ACCOUNTS)
        self._short = random.beta(1.5, 8, _ACCOUNTS)
        self._taste = random.normal(0, 0.6, _ACCOUNTS)
        self._language = random.choice(len(LANGUAGES), _ACCOUNTS, p=(0.62, 0.16, 0.12, 0.06, 0.04))
        self._genre = random.choice(len(GENRES), _ACCOUNTS, p=(0.25, 0.25, 0.25, 0.1, 0.1, 0.05))
        weights = 1 / np.arange(1, _WORDS + 1) ** 1.05
        self._words = weights / weights.sum()

    def hour(self, at: Micros) -> HourRows:
        """The rows of the hour that starts at `at`. Hours can be had in any order."""
        # Positive, also in the weeks before the history begins.
        number = (at - START) // clock.HOUR + 10_080
        random = np.random.default_rng([self.seed, 2, number])
        day = np.random.default_rng([self.seed, 3, number // 24])
        busy = float(day.lognormal(0, 0.12))
        rhythm = _rhythm(number)
        n = max(1, int(random.negative_binomial(12, 12 / (12 + self.per_hour * busy * rhythm))))
        # An account that is active now was likely active an hour ago: those awake change slowly over the day.
        awake = np.random.default_rng([self.seed, 4, number // 6]).random(_ACCOUNTS) < 0.35
        weights = self._activity * np.where(awake, 1.0, 0.05)
        accounts = random.choice(_ACCOUNTS, n, p=weights / weights.sum())
        rows = self._rows(random, number, at, accounts, busy * rhythm)
        return _changed(rows, self.change, random) if self.change and at >= self.change.at else rows

    def _rows(
        self, random: np.random.Generator, number: int, at: Micros, accounts: npt.NDArray[np.int64], busy: float
    ) -> HourRows:
        n = len(accounts)
        activity = self._activity[accounts]
        age = np.maximum(at - self._joined[accounts], 0) / clock.HOUR
        plays = np.floor(random.lognormal(1.0 + 0.4 * np.log(activity), 1.3) * busy)
        reports = random.poisson(0.03 * (1 + activity / 3))
        text = random.normal(-3.0 + self._taste[accounts], 1.1)
        matrix = np.column_stack(
            [
                age,
                1 + random.poisson(activity * 2),
                1 + random.poisson(activity * 60),
                random.poisson(0.0001 * age),
                random.poisson(0.2 * activity),
                np.where(random.random(n) < 0.2, np.nan, _near(random, self._short[accounts])),
                np.where(random.random(n) < 0.1, np.nan, _near(random, self._night[accounts])),
                1 + random.poisson(0.5, n),
                1 + random.poisson(activity),
                np.floor(plays / 12 + random.poisson(0.2, n)),
                plays,
                np.floor(plays * random.beta(8, 3, n)),
                reports,
                random.random(n) < 0.002,
                np.where(random.random(n) < 0.7, np.nan, random.beta(1.2, 12, n)),
                text,
            ]
        ).astype(np.float64)
        scores = score(matrix)
        labels = random.random(n) < scores
        languages = np.array(LANGUAGES)[self._language[accounts]]
        events = {}
        for kind, share in zip(KINDS, (8.0, 1.0, 0.08), strict=True):
            for source, part in zip(SOURCES, (0.6, 0.3, 0.1), strict=True):
                count = random.negative_binomial(20, 20 / (20 + self.per_hour * share * part * busy))
                # The partner sends batches every few minutes.
                events[kind, source] = random.exponential(0.08 if source == "partner" else 0.002, count)
        reporters = random.poisson(0.25, random.poisson(6 * busy)) + 1
        return HourRows(
            at,
            matrix,
            scores,
            labels,
            labels.copy(),
            np.where(random.random(n) < 0.8, *TYPES),
            languages,
            np.array(GENRES, dtype="<U12")[self._genre[accounts]],
            accounts,
            random.choice(_WORDS, (n, 8), p=self._words),
            events,
            reporters.astype(np.int64),
        )


def score(matrix: Doubles) -> Doubles:
    """The calibrated scores of rows, which read some of the inputs."""
    named = {name: np.nan_to_num(matrix[:, j]) for j, name in enumerate(COLUMNS)}
    margin = (
        named["text.log_odds"]
        + 0.4 * np.log1p(named["item.reports_24h"])
        + 0.25 * np.log1p(named["account.items_24h"])
        + 2.0 * named["account.short_share_24h"]
        + 1.5 * named["item.classifier_score"]
        + 0.6 * named["account.strikes"]
        - 0.8
    )
    found: Doubles = 1 / (1 + np.exp(-margin))
    return found


def _rhythm(number: int) -> float:
    """How busy an hour of the week is, around 1."""
    of_day, weekend = number % 24, number // 24 % 7 >= 5
    return float((1 + 0.65 * np.sin((of_day - 9) / 24 * 2 * np.pi)) * (1.2 if weekend else 0.94))


def _near(random: np.random.Generator, share: Doubles) -> Doubles:
    found: Doubles = random.beta(share * 20 + 0.2, (1 - share) * 20 + 0.2)
    return found


def _changed(rows: HourRows, change: Change, random: np.random.Generator) -> HourRows:
    _CHANGES[change.name](rows, random, (rows.hour - change.at) // clock.HOUR)
    return rows


def _rescore(rows: HourRows, random: np.random.Generator, where: npt.NDArray[np.bool_], violating: float) -> None:
    """New scores for changed rows, of which this share violates, whatever the scores say."""
    rows.scores = score(rows.matrix)
    rows.labels = np.where(where, random.random(len(rows)) < violating, rows.labels)
    rows.verdicts = rows.labels.copy()


def _column(name: str) -> int:
    return COLUMNS.index(name)


def _broken_feed(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """No plays arrive any more: their counts are missing, as they are without rows."""
    for name in ("item.plays_1h", "item.plays_24h", "item.listeners_24h", "account.short_share_24h"):
        rows.matrix[:, _column(name)] = np.nan
    rows.scores = score(rows.matrix)
    for source in SOURCES:
        rows.events = {**rows.events, ("play", source): np.empty(0)}


def _clock_off(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """The partner's clock goes back by a day."""
    rows.events = {key: delays + 24 * (key[1] == "partner") for key, delays in rows.events.items()}


def _report_brigade(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """Sixty people report three subjects, for three hours."""
    if hours >= 3:
        return
    rows.reported = np.concatenate([rows.reported, [60, 55, 48]])
    for source in ("mobile", "web"):
        rows.events = {**rows.events, ("user_report", source): random.exponential(0.002, 90)}
    hit = rows.accounts % 97 == 0
    rows.matrix[hit, _column("item.reports_24h")] += 50
    _rescore(rows, random, hit, 0.1)


def _spam_wave(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """One subject in eight is an advertisement that the text stage knows well."""
    hit = random.random(len(rows)) < 0.125
    rows.matrix[hit, _column("text.log_odds")] = random.normal(2.0, 0.8, hit.sum())
    rows.matrix[hit, _column("account.items_24h")] += random.poisson(20, hit.sum())
    rows.matrix[hit, _column("account.age_h")] = random.exponential(10, hit.sum())
    _rescore(rows, random, hit, 0.9)


def _one_slice(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """Only texts in German change: their log-odds rise by 1.5, at the same labels."""
    hit = rows.languages == "de"
    rows.matrix[hit, _column("text.log_odds")] += 1.5
    rows.scores = score(rows.matrix)


def _farm_tactic(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """Farms stop their short plays, and play from many devices at night instead: one account in fifteen."""
    hit = random.random(len(rows)) < 0.067
    rows.matrix[hit, _column("account.short_share_24h")] = random.beta(1, 30, hit.sum())
    rows.matrix[hit, _column("account.night_share_7d")] = random.beta(30, 3, hit.sum())
    rows.matrix[hit, _column("account.devices_7d")] = 8 + random.poisson(3, hit.sum())
    _rescore(rows, random, hit, 0.8)


def _renamed_category(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """`talk` is called `talks`."""
    rows.genres = np.where(rows.genres == "talk", "talks", rows.genres)


def _vocabulary(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """A topic with 60 words of its own takes half of the words of every fourth text."""
    hit = random.random(len(rows)) < 0.25
    rows.words[hit, :4] = _WORDS + random.choice(60, (int(hit.sum()), 4))


def _label_policy(rows: HourRows, random: np.random.Generator, hours: int) -> None:
    """Reviewers stop counting two in five of what violated."""
    rows.verdicts = rows.labels & (random.random(len(rows)) >= 0.4)


_CHANGES = {
    "broken_feed": _broken_feed,
    "clock_off": _clock_off,
    "report_brigade": _report_brigade,
    "spam_wave": _spam_wave,
    "one_slice": _one_slice,
    "farm_tactic": _farm_tactic,
    "renamed_category": _renamed_category,
    "vocabulary": _vocabulary,
    "label_policy": _label_policy,
}
CHANGES = tuple(_CHANGES)

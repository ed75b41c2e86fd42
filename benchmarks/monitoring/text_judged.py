"""What monitoring said about the second texts of a pair, and what their labels say."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.monitoring.text_home import TRAINED, Scored, Watched
from benchmarks.report import Measure
from leads import clock
from leads.alerting.alert import Alert
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.verdicts import VERDICT, is_unclear
from leads.estimates.intervals import Interval, clopper_pearson
from leads.estimates.slices import slice_parts
from monitoring.drift.jobs import FLAGGED_SHARE, INPUT, SCORES, SHARE, TEXT
from monitoring.drift.results import BEFORE, DRIFTED_SHARE, REFERENCE, Against
from monitoring.performance.weekly import CALIBRATION, DEFICIT, GAP
from training.report import calibration, paired

Doubles = npt.NDArray[np.float64]

# Rules whose alerts need no labels, and those that do.
DRIFT_RULES = ("text_drift", "score_drift", "flagged_surge", "input_drift")
LABEL_RULES = ("miscalibrated", "precision_low", "promise_gap", "verdicts_changed")
# Scores this close to the truth are as good as any; precision may differ by more, as in the rules about them. A smaller
# loss of ROC AUC changes hardly any lead.
_TOLERANCE, _GAP, _LOSS = 0.05, 0.1, 0.02
# Inputs whose figures are measures, and columns of the overview.
_SHOWN, _MOST = 3, 6


class Verdicts(NamedTuple):
    """What the windows of a day say that don't overlap: how many of `of` have each verdict; the others have none."""

    drift: int
    unclear: int
    of: int

    @property
    def share(self) -> float:
        """The share that is called drift; NaN without a window."""
        return self.drift / self.of if self.of else float("nan")


class Moved(NamedTuple):
    """How far a column moved: medians of its distances and thresholds in windows of a day, and how many are beyond."""

    column: str
    value: float
    threshold: float
    beyond: int
    of: int


class Quality(NamedTuple):
    """What the labels say of a stretch, and what its scores promised without any.

    Args:
        promised_ap: average precision if each score were the probability that its text violates.
        mean_score: the share of violating texts that scores promise.
        error: expected calibration error beyond chance.
        precision: of the flagged texts; None if none was flagged.
        promised: the mean score of those.
    """

    ap: float
    promised_ap: float
    auc: float
    violating: float
    mean_score: float
    error: float
    precision: Interval | None
    promised: float


class Worse(NamedTuple):
    """Which of the labels' answers say that the version does worse on the second texts."""

    ranking: bool
    calibration: bool
    precision: bool

    @property
    def any(self) -> bool:
        return self.ranking or self.calibration or self.precision


def verdicts(rows: Iterable[MetricRow], since: Micros, until: Micros) -> Verdicts:
    """The scheduled verdicts of the days that are within since ≤ t < until."""
    found = [row for row in _days(rows, since, until) if row.name == VERDICT]
    return Verdicts(sum(row.value == 1 for row in found), sum(map(is_unclear, found)), len(found))


def moved(rows: Iterable[MetricRow], since: Micros, until: Micros, against: Against = REFERENCE) -> list[Moved]:
    """How far each column moved in the days that are within since ≤ t < until, the farthest beyond first."""
    by_column: dict[str, list[MetricRow]] = {}
    for row in _days(rows, since, until):
        parts = slice_parts(row.slice)
        if row.name in (SCORES, FLAGGED_SHARE, TEXT, INPUT) and parts.get("against") == against and row.lo is not None:
            by_column.setdefault(parts.get("column", row.name.removeprefix("drift.")), []).append(row)
    found = [
        Moved(
            column,
            statistics.median(row.value or 0.0 for row in of),
            statistics.median((row.value or 0.0) - (row.lo or 0.0) for row in of),
            sum((row.lo or 0.0) > 0 for row in of),
            len(of),
        )
        for column, of in by_column.items()
    ]
    return sorted(found, key=lambda one: -one.value / max(one.threshold, 1e-9))


def differs_from_before(watched: Watched) -> bool:
    """Whether the first day of the second texts is called different from the days before it."""
    for row in _days(watched.rows, watched.changed, watched.changed + clock.DAY):
        if slice_parts(row.slice) == {"against": BEFORE} and (
            (row.name == SCORES and (row.lo or 0.0) > 0) or (row.name == SHARE and (row.value or 0.0) >= DRIFTED_SHARE)
        ):
            return True
    return False


def quality(some: Scored) -> Quality:
    """What the labels say of scored texts."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    n, flagged = len(some.scores), np.array([tier != "none" for tier in some.tiers])
    chance = calibration.by_chance(some.scores, some.labels, groups=some.groups, seed=0)
    twice = np.concatenate([some.scores, some.scores])
    return Quality(
        float(average_precision_score(some.labels, some.scores)),
        float(
            average_precision_score(
                np.repeat([1, 0], n), twice, sample_weight=np.concatenate([some.scores, 1 - some.scores])
            )
        ),
        float(roc_auc_score(some.labels, some.scores)),
        float(some.labels.mean()),
        float(some.scores.mean()),
        calibration.beyond_chance(calibration.ece(some.scores, some.labels), chance),
        clopper_pearson(int(some.labels[flagged].sum()), int(flagged.sum())) if flagged.any() else None,
        float(some.scores[flagged].mean()) if flagged.any() else float("nan"),
    )


def worse(watched: Watched) -> Worse:
    """What is worse after than before: ROC AUC, which doesn't depend on how many texts violate, by at least 0.02 and
    significantly; scores that are off by more than 0.05; precision that is significantly more than 0.1 from what
    scores promise.
    """
    sides = watched.before, watched.after
    drawn = [paired.resample(some.labels, some.groups, seed=0) for some in sides]
    before, after = (paired.roc_auc(some.scores, of.labels, of.counts) for some, of in zip(sides, drawn, strict=True))
    lost = quality(watched.before).auc - quality(watched.after).auc
    found = quality(watched.after)
    precision = found.precision
    off = precision is not None and (precision.hi < found.promised - _GAP or precision.lo > found.promised + _GAP)
    ranking = lost >= _LOSS and float(np.quantile(after - before, 0.975)) < 0
    return Worse(ranking, found.error > _TOLERANCE, off)


OVERVIEW = (
    "pair",
    "days of the same set: drift, can't tell",
    "of the other set",
    "what moved, with distance and threshold",
    "first alert about drift",
    "average precision, before and after",
    "precision that flagged texts promise, and have",
    "worse, by the labels",
)


def overview(watched: Watched) -> tuple[str, ...]:
    """The most important figures of a pair, as text."""
    own = verdicts(watched.rows, TRAINED, watched.changed)
    other = verdicts(watched.rows, watched.changed, watched.until)
    columns = [one for one in moved(watched.rows, watched.changed, watched.until) if 2 * one.beyond > one.of]
    late = late_drift(watched)
    before, after, bad = quality(watched.before), quality(watched.after), worse(watched)
    precision = "nothing flagged" if after.precision is None else f"{after.promised:.2f}, {after.precision.value:.2f}"
    early = sorted({alert.rule for alert in watched.alerts if _is_early(alert, watched)} & set(DRIFT_RULES))
    known = f"; open before: {', '.join(early)}" if early else ""
    hours = f"after {(late[0].opened_at - watched.changed) / clock.HOUR:.0f} h: {late[0].rule}" if late else "none"
    return (
        f"{own.drift}, {own.unclear} of {own.of}",
        f"{other.drift}, {other.unclear} of {other.of}",
        ", ".join(f"{one.column} {one.value:.2f} ({one.threshold:.2f})" for one in columns[:_MOST]) or "nothing",
        hours + known,
        f"{before.ap:.2f}, {after.ap:.2f}",
        precision,
        ", ".join(name for name, is_worse in bad._asdict().items() if is_worse) or "no",
    )


def late_drift(watched: Watched) -> list[Alert]:
    """The alerts about drift that opened after the second texts began, the first one first."""
    return [one for one in watched.alerts if one.rule in DRIFT_RULES and one.opened_at >= watched.changed]


def _is_early(alert: Alert, watched: Watched) -> bool:
    """Whether an alert was open when the second texts began."""
    return alert.opened_at < watched.changed and (alert.resolved_at is None or alert.resolved_at > watched.changed)


def measures(name: str, watched: Watched) -> list[Measure]:
    """The rows of a pair."""
    own = verdicts(watched.rows, TRAINED, watched.changed)
    other = verdicts(watched.rows, watched.changed, watched.until)
    before, after, bad = quality(watched.before), quality(watched.after), worse(watched)
    right = other.drift if bad.any else other.of - other.drift - other.unclear
    return [
        Measure(f"{name}: days of the same set called drift, of {own.of}", own.drift, "days"),
        Measure(f"{name}: days of the same set without a clear verdict", own.unclear, "days"),
        Measure(f"{name}: days of the other set called drift, of {other.of}", other.drift, "days"),
        Measure(f"{name}: days of the other set without a clear verdict", other.unclear, "days"),
        Measure(
            f"{name}: first day of the other set differs from the days before",
            float(differs_from_before(watched)),
            "1: yes",
        ),
        *_of_columns(name, watched),
        *_of_alerts(name, watched),
        *_of_labels(f"{name}, same set", before),
        *_of_labels(f"{name}, other set", after),
        *_of_performance(name, watched),
        Measure(f"{name}: ranks worse, by the labels", float(bad.ranking), "1: yes"),
        Measure(f"{name}: miscalibrated, by the labels", float(bad.calibration), "1: yes"),
        Measure(f"{name}: precision isn't what scores promise, by the labels", float(bad.precision), "1: yes"),
        Measure(f"{name}: days of the other set with the right verdict", right, "days"),
        Measure(
            f"{name}: that an alert about drift opens, or none, is right",
            float(bool(late_drift(watched)) == bad.any),
            "1: yes",
        ),
    ]


def _of_columns(name: str, watched: Watched) -> list[Measure]:
    """The texts' columns and the score; of the inputs, how many moved, and those that moved most."""
    every = moved(watched.rows, watched.changed, watched.until)
    shown = ("score", "flagged", "length", "language", "vocabulary", "encoder")
    inputs = [one for one in every if one.column not in shown]
    rows = []
    for one in [*(one for one in every if one.column in shown), *inputs[:_SHOWN]]:
        of = f"{name}: {one.column}"
        rows += [
            Measure(f"{of}, distance from training", one.value, "median"),
            Measure(f"{of}, threshold", one.threshold, "median"),
            Measure(f"{of}, days beyond it, of {one.of}", one.beyond, "days"),
        ]
    beyond = sum(2 * one.beyond > one.of for one in inputs)
    return [*rows, Measure(f"{name}: inputs beyond their thresholds, of {len(inputs)}", beyond, "inputs")]


def _of_alerts(name: str, watched: Watched) -> list[Measure]:
    """How soon the first alert of each rule opened after the change; alerts that were open before, as such."""
    rows = []
    for rule in (*DRIFT_RULES, *LABEL_RULES):
        opened = [alert for alert in watched.alerts if alert.rule == rule]
        early = [alert for alert in opened if alert.opened_at < watched.changed]
        still = any(_is_early(alert, watched) for alert in early)
        late = [alert for alert in opened if alert.opened_at >= watched.changed]
        if early:
            rows.append(Measure(f"{name}: alerts {rule} before the other set", len(early), "alerts"))
            rows.append(Measure(f"{name}: alert {rule} is open when the other set begins", float(still), "1: yes"))
        if late:
            hours = (late[0].opened_at - watched.changed) / clock.HOUR
            rows.append(Measure(f"{name}: alert {rule} opens after", hours, "h"))
    return rows


def _of_labels(name: str, found: Quality) -> list[Measure]:
    rows = [
        Measure(f"{name}: average precision", found.ap, ""),
        Measure(f"{name}: average precision that scores promise", found.promised_ap, ""),
        Measure(f"{name}: ROC AUC", found.auc, ""),
        Measure(f"{name}: share that violates", found.violating, ""),
        Measure(f"{name}: share that scores promise", found.mean_score, ""),
        Measure(f"{name}: calibration error beyond chance", found.error, ""),
    ]
    if found.precision is not None:
        rows += [
            Measure(f"{name}: precision of flagged texts", found.precision.value, ""),
            Measure(f"{name}: precision that scores promise", found.promised, ""),
        ]
    return rows


def _of_performance(name: str, watched: Watched) -> list[Measure]:
    """The job's last values: of seven days, in which there may be texts of both sets."""
    rows = []
    for metric in (CALIBRATION, GAP, DEFICIT):
        found = [row for row in watched.rows if row.name == metric and not row.slice and row.value is not None]
        if found:
            row = max(found, key=lambda one: one.until)
            rows.append(Measure(f"{name}: {metric} at the end", row.value, ""))
    return rows


def _days(rows: Iterable[MetricRow], since: Micros, until: Micros) -> Sequence[MetricRow]:
    """The values of windows of a day, whole days apart."""
    return [
        row
        for row in rows
        if row.until - row.since == clock.DAY
        and row.until % clock.DAY == 0
        and since <= row.since
        and row.until <= until
    ]

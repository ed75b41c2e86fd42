"""Measures of scores against labels, each with its 95% interval, if there is enough evidence for them."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from leads.messages.wording import counted
from models.thresholds import Thresholds
from training.evidence import Evidence, evidence
from training.report import paired
from training.report.calibration import Chance, by_chance
from training.report.paired import Interval

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]


class AtTier(msgspec.Struct, frozen=True):
    """A tier on the held-out rows.

    Args:
        rows, distinct: rows in the tier, and how many of them are distinct.
        precision: share of them that violate; None without rows.
        recall: share of the violating rows that are in the tier; None without violating rows.
    """

    tier: str
    threshold: float
    rows: int
    distinct: int
    precision: Interval | None
    recall: Interval | None


def recall_rows(found: Evidence) -> str:
    """The rows that recall is a share of: the violating ones.

    >>> recall_rows(Evidence(100, 24, 90, 18, 72))
    '24 violating rows (18 distinct)'
    """
    return f"{counted(found.positives, 'violating row')} ({found.distinct_positives:,} distinct)"


class Evaluation(msgspec.Struct, frozen=True):
    """Measures of one version on held-out rows, with 95% intervals. None: not measured, and `missing` says why.

    Args:
        evidence: the rows, and how many observations they are.
        missing: what is missing for measurements; empty if there is enough.
        ap: average precision, the area under the precision-recall curve.
        brier: mean squared difference between score and label.
        ece: expected calibration error over 15 bins of equal size.
        chance: what calibrated scores would give for `ece`.
        tiers: of the tiers that the version offers; empty if not measured.
    """

    evidence: Evidence
    missing: str
    ap: Interval | None
    roc_auc: Interval | None
    brier: Interval | None
    ece: Interval | None
    chance: Chance | None
    tiers: tuple[AtTier, ...]


def evaluate(scores: Doubles, labels: Bools, groups: Groups, thresholds: Thresholds, *, seed: int) -> Evaluation:
    """Measure (n,) scores in [0, 1] against (n,) labels.

    Args:
        groups: (n,) equal for rows that are one observation.
        seed: of resamples and simulations.
    """
    counted = evidence(labels, groups)
    if counted.missing:
        return Evaluation(counted, counted.missing, None, None, None, None, None, ())
    drawn = paired.resample(labels, groups, seed=seed)
    return Evaluation(
        evidence=counted,
        missing="",
        ap=paired.measure(paired.average_precision, scores, drawn),
        roc_auc=paired.measure(paired.roc_auc, scores, drawn),
        brier=paired.measure(paired.brier, scores, drawn),
        ece=paired.measure(paired.calibration_error, scores, drawn),
        chance=by_chance(scores, labels, groups=groups, seed=seed),
        tiers=at_tiers(scores, labels, groups, thresholds),
    )


def at_tiers(scores: Doubles, labels: Bools, groups: Groups, thresholds: Thresholds) -> tuple[AtTier, ...]:
    """Precision and recall of each tier that a version offers, on (n,) rows."""
    found = []
    for tier, start in (("review", thresholds.review), ("auto", thresholds.auto)):
        if start is not None:
            inside = scores >= start
            precision = paired.share(labels[inside], groups[inside])
            recall = paired.share(inside[labels], groups[labels])
            distinct = len(np.unique(groups[inside]))
            found.append(AtTier(tier, start, int(inside.sum()), distinct, precision, recall))
    return tuple(found)

"""The gate's checks of ranking, calibration and tiers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from leads.policies import TierPolicy
from models.version import ModelVersion
from training.gate.checks import GateCheck, Judged
from training.report import paired
from training.report.evaluate import ece, ece_p_value
from training.report.paired import Interval, Resamples

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A smaller loss of average precision doesn't matter, however significant it is.
NEGLIGIBLE_AP = 0.002
# The tolerated loss with this many positives. Half as many widen the interval, and the tolerance, by a factor of √2.
TOLERATED_AP, AT_POSITIVES = 0.01, 200
CALIBRATED_P, CLOSE_ENOUGH_ECE = 0.05, 0.02
# A harm without a champion has no leads at all, so a first version is only blocked if it is clearly wrong.
FIRST_P, FIRST_ECE = 0.01, 0.05


def ranking(judged: Judged) -> tuple[GateCheck, ...]:
    """Check average precision by paired bootstrap on the served rows, and on all rows if those are only a part."""
    served = judged.rows.served
    checks = (_ranking("ranking", judged, served, judged.drawn),)
    if served.all():
        return checks
    everything = np.ones(len(served), dtype=np.bool_)
    drawn = paired.resample(judged.rows.labels, judged.rows.groups, seed=judged.seed)
    return (*checks, _ranking("ranking, with corpora", judged, everything, drawn))


def _ranking(name: str, judged: Judged, part: Bools, drawn: Resamples) -> GateCheck:
    if judged.old is None:
        return _better_than_chance(name, judged.new[part], drawn)
    found = paired.difference(paired.average_precision, judged.old[part], judged.new[part], drawn)
    tolerated = tolerated_loss(int(drawn.labels.sum()))
    why_worse = ranks_worse(found, tolerated)
    assert judged.champion is not None
    return GateCheck(
        name,
        f"average precision {found.text(signed=True)} against version {judged.champion.version}",
        f"at least {-tolerated:.3f} and not significantly below 0",
        why_worse is None,
        why_worse or "Ranking is as good or better.",
    )


def ranks_worse(found: Interval, tolerated: float) -> str | None:
    """Why a difference in average precision is too large a loss: significant and relevant, or larger than `tolerated`.

    None if it isn't too large.

    >>> ranks_worse(Interval(-0.02, -0.05, 0.01), tolerated=0.03)
    """
    if found.high < 0 and found.found < -NEGLIGIBLE_AP:
        return "Ranking is significantly worse."
    if found.found < -tolerated:
        return "Ranking is probably worse: the loss exceeds the tolerance for this number of labels."
    return None


def tolerated_loss(positives: int) -> float:
    """The tolerated loss of average precision: 0.01 with 200 positives or more, 0.01·√(200/positives) with fewer.

    >>> tolerated_loss(50)
    0.02
    """
    return TOLERATED_AP * max(1.0, math.sqrt(AT_POSITIVES / max(positives, 1)))


def _better_than_chance(name: str, scores: Doubles, drawn: Resamples) -> GateCheck:
    """Check that average precision is significantly above the share of positives, which random scores give."""
    shares = drawn.counts @ drawn.labels / drawn.counts.sum(axis=1)
    whole = paired.measure(paired.average_precision, scores, drawn)
    gain = paired.interval(
        whole.found - float(drawn.labels.mean()),
        paired.average_precision(scores, drawn.labels, drawn.counts) - shares,
    )
    passed = gain.low > 0
    return GateCheck(
        name,
        f"average precision {whole.text()}",
        f"significantly above chance, {drawn.labels.mean():.3f}",
        passed,
        "Ranking is better than chance." if passed else "Ranking may be no better than chance.",
    )


def calibration(judged: Judged) -> GateCheck:
    """Check that the scores are calibrated on the served rows, or at least as well as the champion's."""
    labels, part = judged.drawn.labels, judged.rows.served
    new = judged.new[part]
    p, found = ece_p_value(new, labels, seed=judged.seed), ece(new, labels)
    summary = f"ECE {found:.3f}, p = {p:.3f}"
    if judged.old is None:
        passed = p >= FIRST_P or found <= FIRST_ECE
        needed = f"p ≥ {FIRST_P} or ECE ≤ {FIRST_ECE}"
    else:
        before = ece(judged.old[part], labels)
        passed = p >= CALIBRATED_P or found <= max(before, CLOSE_ENOUGH_ECE)
        needed = f"p ≥ {CALIBRATED_P} or ECE ≤ {max(before, CLOSE_ENOUGH_ECE):.3f}"
    why = "Scores are miscalibrated."
    if passed and p >= CALIBRATED_P:
        why = "Scores are calibrated."
    elif passed:
        why = "Scores are slightly miscalibrated, within the tolerance."
    return _lenient_on_first(judged, GateCheck("calibration", summary, needed, passed, why))


def tiers(judged: Judged) -> GateCheck:
    """Check that leads are still offered, and that no tier's precision on the served rows is significantly below the
    policy's target and lower than the champion's."""
    found, wrong = [], []
    targets = {"review": judged.policy.review, "auto": judged.policy.auto}
    old = None if judged.champion is None else _precisions(judged, judged.champion, judged.old)
    for tier, precision in _precisions(judged, judged.candidate, judged.new).items():
        before = old.get(tier) if old else None
        if precision is None:
            if before is not None and tier == "review":
                wrong.append("it would no longer offer leads")
            continue
        found.append(f"{tier} {precision.text()}")
        if _missed(targets[tier], precision) and (before is None or precision.found < before.found):
            wrong.append(f"the precision of tier {tier} is below its target")
    check = GateCheck(
        "tiers",
        ", ".join(found) or "no tier has rows",
        ", ".join(f"{tier} ≥ {target.precision}" for tier, target in targets.items() if target),
        not wrong,
        f"{'; '.join(wrong).capitalize()}." if wrong else "No tier is significantly below its target.",
    )
    return _lenient_on_first(judged, check)


def _lenient_on_first(judged: Judged, check: GateCheck) -> GateCheck:
    """Let a failed check pass if a first version is judged on public corpora alone and has no auto tier.

    Waiting for a version that is calibrated on this platform would never end, since without leads there are no labels.
    Until there are, humans decide everything.
    """
    first = judged.champion is None and judged.rows.data.borrowed and judged.candidate.thresholds.auto is None
    if check.passed or not first:
        return check
    return replace(
        check, passed=True, why=f"{check.why} The rows are from public corpora; reviewers' labels will correct that."
    )


def _missed(target: TierPolicy | None, precision: Interval) -> bool:
    return target is not None and precision.high < target.precision


def _precisions(judged: Judged, version: ModelVersion, scores: Doubles | None) -> dict[str, Interval | None]:
    """The share of violating rows among the served rows in each tier; None for a tier without rows."""
    assert scores is not None
    served = judged.rows.served
    labels, inside = judged.rows.labels[served], scores[served]
    starts = {"review": version.thresholds.review, "auto": version.thresholds.auto}
    return {
        tier: None if start is None else paired.share(int(labels[inside >= start].sum()), int((inside >= start).sum()))
        for tier, start in starts.items()
    }

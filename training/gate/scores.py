"""The gate's checks of ranking, calibration and tiers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from leads.policies import TierPolicy
from training.gate.checks import GateCheck, Judged
from training.gate.side_by_side import CALIBRATION_ERROR, VersionFigures
from training.report import paired
from training.report.calibration import MISCALIBRATED, REJECTED_P, TOLERATED_ECE, verdict
from training.report.paired import Interval, Resamples

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A smaller loss of average precision doesn't matter, however significant it is.
NEGLIGIBLE_AP = 0.002
# The tolerated loss with this many distinct positives. Half as many widen the interval, and the tolerance, by √2.
TOLERATED_AP, AT_POSITIVES = 0.01, 200
# A smaller growth of the calibration error doesn't matter, however significant it is.
NEGLIGIBLE_ECE = 0.02


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
    tolerated = tolerated_loss(drawn.observed)
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
    """The tolerated loss of average precision: 0.01 with 200 distinct positives, 0.01·√(200/positives) with fewer.

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
    """Check that the scores aren't miscalibrated, and not significantly worse calibrated than the champion's.

    A champion that is miscalibrated too is no excuse: then a person decides.
    """
    *champion, candidate = judged.figures
    error = next(each for each in judged.measures if each.name == CALIBRATION_ERROR)
    why = verdict(error.new.found, candidate.chance)
    passed = why != MISCALIBRATED
    found = f"ECE {error.new.text()}; {candidate.chance.text()}"
    needed = f"p ≥ {REJECTED_P} or at most {TOLERATED_ECE} beyond chance"
    if champion and error.old and error.difference:
        found += f"; version {champion[0].version}: ECE {error.old.text()}; {champion[0].chance.text()}"
        needed += f", and not significantly worse than the champion's by more than {NEGLIGIBLE_ECE}"
        if error.difference.low > 0 and error.difference.found > NEGLIGIBLE_ECE:
            passed, why = False, "Scores are significantly worse calibrated than the champion's."
        elif not passed and verdict(error.old.found, champion[0].chance) == MISCALIBRATED:
            why = "Scores are miscalibrated, and so are the champion's."
    if not passed:
        why = " ".join((why, *_shifted(judged)))
    check = _lenient_on_first(judged, GateCheck("calibration", found, needed, passed, why))
    return check if check.passed else replace(check, why=f"{check.why} A person must decide.")


def _shifted(judged: Judged) -> tuple[str, ...]:
    """A sentence if chance doesn't explain how the share of violating rows differs from the training set's."""
    data, served = judged.rows.data, judged.rows.served
    trained = float(data.labels[data.served & ~data.held_out].mean())
    here = paired.share(judged.rows.labels[served], judged.rows.groups[served])
    if here is None or here.low <= trained <= here.high:
        return ()
    return (f"The share of violating rows changed: {trained:.1%} in the training set, {here.found:.1%} held out.",)


def tiers(judged: Judged) -> GateCheck:
    """Check that leads are still offered, and that no tier's precision on the served rows is significantly below the
    policy's target and lower than the champion's."""
    found, wrong = [], []
    targets = {"review": judged.policy.review, "auto": judged.policy.auto}
    *champion, candidate = map(_precisions, judged.figures)
    for tier, precision in candidate.items():
        before = champion[0][tier] if champion else None
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
    why = f"{check.why} The rows are from public corpora; reviewers' labels will correct that."
    return replace(check, passed=True, excused=True, why=why)


def _missed(target: TierPolicy | None, precision: Interval) -> bool:
    return target is not None and precision.high < target.precision


def _precisions(of: VersionFigures) -> dict[str, Interval | None]:
    """The share of violating rows among the served rows in each tier; None for a tier without rows or not offered."""
    offered = {each.tier: each.precision for each in of.tiers}
    return {tier: offered.get(tier) for tier in ("review", "auto")}

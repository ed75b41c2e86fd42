"""The gate's checks of scores: ranking, calibration, and what the tiers hold."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from leads.policies import TierPolicy
from models.version import ModelVersion
from training.gate.checks import Check, Judged
from training.report import paired
from training.report.evaluate import ece, ece_p_value
from training.report.paired import Interval, Resamples

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Less average precision than this is no difference, however sure it is.
NEGLIGIBLE_AP = 0.002
# Half as many positives make the estimate less sure by a factor of √2, and so much more is let pass.
TOLERATED_AP, AT_POSITIVES = 0.01, 200
CALIBRATED_P, CLOSE_ENOUGH_ECE = 0.05, 0.02
# A harm without any champion offers no leads at all: only what is plainly wrong stands in the first one's way.
FIRST_P, FIRST_ECE = 0.01, 0.05


def ranking(judged: Judged) -> tuple[Check, ...]:
    """The paired bootstrap of average precision on the served rows, and on all rows where those are only a part."""
    served = judged.rows.served
    checks = (_ranking("ranking", judged, served, judged.drawn),)
    if served.all():
        return checks
    everything = np.ones(len(served), dtype=np.bool_)
    drawn = paired.resample(judged.rows.labels, judged.rows.groups, seed=judged.seed)
    return (*checks, _ranking("ranking, with corpora", judged, everything, drawn))


def _ranking(name: str, judged: Judged, part: Bools, drawn: Resamples) -> Check:
    if judged.old is None:
        return _better_than_chance(name, judged.new[part], drawn)
    found = paired.difference(paired.average_precision, judged.old[part], judged.new[part], drawn)
    tolerated = tolerated_loss(int(drawn.labels.sum()))
    why_worse = ranks_worse(found, tolerated)
    assert judged.champion is not None
    return Check(
        name,
        f"average precision {found.text(signed=True)} against version {judged.champion.version}",
        f"not below {-tolerated:.3f}, nor surely below 0",
        why_worse is None,
        why_worse or "It ranks as well or better.",
    )


def ranks_worse(found: Interval, tolerated: float) -> str | None:
    """Why a difference in average precision is too much of a loss: it is surely there and matters, or it is larger
    than `tolerated`. None when it is not.

    >>> ranks_worse(Interval(-0.02, -0.05, 0.01), tolerated=0.03)
    """
    if found.high < 0 and found.found < -NEGLIGIBLE_AP:
        return "It ranks surely worse."
    if found.found < -tolerated:
        return "It probably ranks worse, by more than these labels leave open."
    return None


def tolerated_loss(positives: int) -> float:
    """How much average precision may be missing: 0.01 with 200 positives and more, with fewer as much more as the
    estimate is less sure.

    >>> tolerated_loss(50)
    0.02
    """
    return TOLERATED_AP * max(1.0, math.sqrt(AT_POSITIVES / max(positives, 1)))


def _better_than_chance(name: str, scores: Doubles, drawn: Resamples) -> Check:
    """Chance gives the share of positives, whatever the scores."""
    shares = drawn.counts @ drawn.labels / drawn.counts.sum(axis=1)
    whole = paired.measure(paired.average_precision, scores, drawn)
    gain = paired.interval(
        whole.found - float(drawn.labels.mean()),
        paired.average_precision(scores, drawn.labels, drawn.counts) - shares,
    )
    passed = gain.low > 0
    return Check(
        name,
        f"average precision {whole.text()}",
        f"surely above chance, {drawn.labels.mean():.3f}",
        passed,
        "It ranks better than chance." if passed else "It may rank no better than chance.",
    )


def calibration(judged: Judged) -> Check:
    """Whether the scores keep their word on the served rows, or at least as well as the champion's."""
    labels, part = judged.drawn.labels, judged.rows.served
    new = judged.new[part]
    p, found = ece_p_value(new, labels, seed=judged.seed), ece(new, labels)
    said = f"ECE {found:.3f}, p = {p:.3f}"
    if judged.old is None:
        passed = p >= FIRST_P or found <= FIRST_ECE
        needed = f"p ≥ {FIRST_P} or ECE ≤ {FIRST_ECE}"
    else:
        before = ece(judged.old[part], labels)
        passed = p >= CALIBRATED_P or found <= max(before, CLOSE_ENOUGH_ECE)
        needed = f"p ≥ {CALIBRATED_P} or ECE ≤ {max(before, CLOSE_ENOUGH_ECE):.3f}"
    why = "Its scores don't keep their word."
    if passed and p >= CALIBRATED_P:
        why = "Its scores are the probabilities they claim to be."
    elif passed:
        why = "Its scores are a little off, no further than is let pass."
    return _for_now(judged, Check("calibration", said, needed, passed, why))


def tiers(judged: Judged) -> Check:
    """Whether leads are still offered, and no tier holds surely less precision on the served rows than policy asks for
    and the champion gives."""
    found, wrong = [], []
    targets = {"review": judged.policy.review, "auto": judged.policy.auto}
    old = None if judged.champion is None else _precisions(judged, judged.champion, judged.old)
    for tier, precision in _precisions(judged, judged.candidate, judged.new).items():
        before = old.get(tier) if old else None
        if precision is None:
            if before is not None and tier == "review":
                wrong.append("it would offer no leads any more")
            continue
        found.append(f"{tier} {precision.text()}")
        if _missed(targets[tier], precision) and (before is None or precision.found < before.found):
            wrong.append(f"the tier {tier} promises more than it holds")
    check = Check(
        "tiers",
        ", ".join(found) or "none is offered",
        ", ".join(f"{tier} ≥ {target.precision}" for tier, target in targets.items() if target),
        not wrong,
        f"{'; '.join(wrong).capitalize()}." if wrong else "No tier surely misses what policy asks for.",
    )
    return _for_now(judged, check)


def _for_now(judged: Judged, check: Check) -> Check:
    """The check; passed where a first version is judged on public corpora alone.

    Whoever waits for a version that keeps its word here gets none: without leads no labels come. It decides nothing
    without a human till they do.
    """
    first = judged.champion is None and judged.rows.data.borrowed and judged.candidate.thresholds.auto is None
    if check.passed or not first:
        return check
    return replace(check, passed=True, why=f"{check.why} These are a corpus' rows; reviewers' labels will mend it.")


def _missed(target: TierPolicy | None, precision: Interval) -> bool:
    return target is not None and precision.high < target.precision


def _precisions(judged: Judged, version: ModelVersion, scores: Doubles | None) -> dict[str, Interval | None]:
    """Each tier's share of violating rows among the served ones in it; None for a tier that holds none."""
    assert scores is not None
    served = judged.rows.served
    labels, inside = judged.rows.labels[served], scores[served]
    starts = {"review": version.thresholds.review, "auto": version.thresholds.auto}
    return {
        tier: None if start is None else paired.share(int(labels[inside >= start].sum()), int((inside >= start).sum()))
        for tier, start in starts.items()
    }

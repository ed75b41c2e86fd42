"""The gate's checks of contract, behaviour, slices and latency. `scores` has those of scores and tiers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.version import ModelVersion
from training.behaviour.run import regressions, run, suite_for
from training.evidence import MIN_DISTINCT
from training.gate.side_by_side import Compared, HeldOut, VersionFigures, figures_of, held_out, measured, single_row_ms
from training.report.paired import Resamples
from training.report.slices import Slice, behind, of_rows

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BUDGET_MS, SLOWER_TIMES = 5.0, 2.0
# Encoding a text takes longer, but happens once: serving caches the vectors.
ENCODER_BUDGET_MS = 30.0
# Attempts to meet the budget, since the machine may be busy with something else.
_ATTEMPTS = 3
# Significance level for checks of a kind that only the champion passes.
BEHAVIOUR_P = 0.01
# How many regressions a report names. `behaviour.json` has all of them.
_NAMED = 4


class GateCheck(msgspec.Struct, frozen=True):
    """One check: what was found, what it needs to pass, and a sentence on what that means.

    Args:
        excused: it passed only because it is lenient on a first version from public corpora.
    """

    name: str
    found: str
    needed: str
    passed: bool
    why: str
    excused: bool = False


@dataclass(frozen=True)
class Judged:
    """The candidate and, if it can be evaluated, the champion, with their scores on the same held-out rows."""

    policy: HarmPolicy
    candidate: ModelVersion
    champion: ModelVersion | None
    rows: HeldOut
    seed: int

    @cached_property
    def new(self) -> Doubles:
        """(n,) the candidate's scores."""
        return self.rows.scores(self.candidate)

    @cached_property
    def old(self) -> Doubles | None:
        """(n,) the champion's scores; None without a champion."""
        return None if self.champion is None else self.rows.scores(self.champion)

    @cached_property
    def drawn(self) -> Resamples:
        """Resamples of the served rows."""
        return self.rows.resamples(seed=self.seed)

    @cached_property
    def measures(self) -> tuple[Compared, ...]:
        """Every measure of both versions on the served rows."""
        served = self.rows.served
        return measured(self.drawn, self.new[served], None if self.old is None else self.old[served])

    @cached_property
    def figures(self) -> tuple[VersionFigures, ...]:
        """The figures of the champion, if there is one, and of the candidate, on the served rows."""
        both = ((self.champion, self.old), (self.candidate, self.new))
        served = self.rows.served
        return tuple(
            figures_of(version, self.rows, scores[served], seed=self.seed)
            for version, scores in both
            if version is not None and scores is not None
        )


def contract(candidate: ModelVersion, features: FeatureSet) -> GateCheck:
    """Check that the features that the version was trained with are live. Serving refuses a version that fails."""
    why = unsatisfied(candidate.contract, features)
    found = f"contract {candidate.contract.hash}"
    return GateCheck("contract", found, "live features only", why is None, why or "All features are available.")


def enough_rows(judged: Judged) -> GateCheck:
    """Check that the served rows are enough distinct ones to measure on. Without, nothing about scores is checked."""
    counted = judged.rows.of_served
    needed = f"at least {MIN_DISTINCT} distinct violating and {MIN_DISTINCT} distinct other rows"
    why = f"Not measured: {counted.missing} A person must decide." if counted.missing else "There are enough."
    overlap, found = judged.rows.overlap, counted.text()
    if overlap.left_out:
        found += f"; {overlap.left_out:,} more were left out"
    if overlap.left_out or overlap.unknown:
        why += f" {overlap.text()}"
    return GateCheck("held-out rows", found, needed, not counted.missing, why)


def behaviour(judged: Judged, settings: Settings) -> GateCheck:
    """Check that the candidate passes no kind of check in the harm's behaviour suite significantly less often.

    Single cases are reported but don't block. Of versions fitted on random four fifths of the same rows, one in four
    did worse than another in some case, but only one in eight in a whole kind at 5%.
    """
    name, needed = "behaviour", "no kind significantly worse (p < 0.01)"
    suite = suite_for(settings, judged.candidate.harm) if judged.candidate.uses_text else None
    if suite is None:
        return GateCheck(name, "no suite", needed, True, "This harm has no behaviour suite.")
    features = judged.rows.data.feature_set
    new = run(judged.candidate, suite, features)
    summary = f"{sum(kind.passed for kind in new.kinds)} of {sum(kind.checks for kind in new.kinds)} checks pass"
    if judged.champion is None or not judged.champion.uses_text:
        return GateCheck(name, summary, needed, True, "There is no champion to compare with.")
    lost = regressions(run(judged.champion, suite, features), new)
    blocking = [each for each in lost if each.whole_kind and each.p < BEHAVIOUR_P]
    named = [
        f"{each.name} passes {each.candidate_passed}, the champion {each.champion_passed}" for each in blocking or lost
    ]
    why = "; ".join((*named[:_NAMED], *(["and more"] if len(named) > _NAMED else []))) + "." if named else ""
    return GateCheck(name, summary, needed, not blocking, why or "Behaviour is as good as the champion's.")


def slices(judged: Judged) -> GateCheck:
    """Check that no slice of the served rows is far behind that wasn't far behind with the champion."""
    name, needed = "slices", "none newly far behind"
    new = _sliced(judged, judged.new)
    lagging = behind(new)
    summary = f"{len(lagging)} of {len(new)} far behind"
    if judged.old is None:
        return GateCheck(name, summary, needed, True, _named(lagging) or "No slice is far behind.")
    before = {(each.dimension, each.value): each for each in _sliced(judged, judged.old)}
    lost = [each for each in lagging if _newly_behind(before[each.dimension, each.value], each)]
    return GateCheck(name, summary, needed, not lost, _named(lost) or "No slice is newly far behind.")


def _sliced(judged: Judged, scores: Doubles) -> tuple[Slice, ...]:
    served = judged.rows.served
    rows = [row for row, is_served in zip(judged.rows.rows, served.tolist(), strict=True) if is_served]
    return of_rows(rows, scores[served], judged.rows.labels[served])


def _newly_behind(old: Slice, new: Slice) -> bool:
    lost_rank = old.roc_auc is not None and new.roc_auc is not None and new.roc_auc < old.roc_auc
    further_off = abs(new.mean_score - new.share.found) > abs(old.mean_score - old.share.found)
    return not old.behind and (lost_rank or further_off)


def _named(found: tuple[Slice, ...] | list[Slice]) -> str:
    return "; ".join(f"{each.dimension} {each.value}: {each.why}" for each in found)


def latency(judged: Judged) -> GateCheck:
    """Check the median time to score one row. Candidate and champion are timed in turn."""
    versions = (judged.candidate,) if judged.champion is None else (judged.candidate, judged.champion)
    # Also rows that a version was trained on: that doesn't change how long they take.
    timed = held_out(judged.rows.data)
    budget = ENCODER_BUDGET_MS if judged.candidate.encodes else BUDGET_MS
    for _ in range(_ATTEMPTS):
        taken = single_row_ms(versions, timed)
        allowed = max(budget, SLOWER_TIMES * taken[-1]) if judged.champion else budget
        passed = taken[0] <= allowed
        if passed:
            break
    why = "Scoring is fast enough." if passed else "Scoring is too slow."
    return GateCheck("latency", f"{taken[0]:.2f} ms per row", f"≤ {allowed:.1f} ms", passed, why)

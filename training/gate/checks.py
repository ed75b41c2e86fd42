"""The gate's checks, each a function of the version to be promoted, the champion and the rows both are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from features.evaluate.columns import unsatisfied
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.version import ModelVersion
from training.behaviour import run
from training.gate.side_by_side import HeldOut, single_row_ms
from training.report import slices
from training.report.paired import Resamples
from training.report.slices import Slice

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BUDGET_MS, SLOWER_TIMES = 5.0, 2.0
# With a sentence encoder a text costs more, though only once: serving keeps what was found of it.
ENCODER_BUDGET_MS = 30.0
# A machine that is busy with something else is given another chance to show how fast the version is.
_TIMINGS = 3
# Of losing so many checks of a kind by chance.
BEHAVIOUR_P = 0.01
# So many regressions are named; `behaviour.json` has them all.
_NAMED = 4


class Check(msgspec.Struct, frozen=True):
    """One check: what was found, what it takes to pass, and a sentence on what it means."""

    name: str
    found: str
    needed: str
    passed: bool
    why: str


@dataclass(frozen=True)
class Judged:
    """The candidate on the held-out rows, and the champion where there is one that can be judged."""

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
        """(n,) the champion's scores."""
        return None if self.champion is None else self.rows.scores(self.champion)

    @cached_property
    def drawn(self) -> Resamples:
        """Resamples of the served rows."""
        return self.rows.of_served(seed=self.seed)


def contract(candidate: ModelVersion) -> Check:
    """Whether this code gives the version the features that it was trained with. Serving refuses one that fails."""
    why = unsatisfied(candidate.contract)
    found = f"contract {candidate.contract.hash}"
    return Check("contract", found, "features this code has", why is None, why or "Serving can feed it.")


def behaves(judged: Judged, settings: Settings) -> Check:
    """The harm's behaviour suite, when it has one: of no kind of check may the candidate pass surely fewer.

    Single cases are named and don't block: of versions fitted on random four fifths of the same rows, one in four lost
    some case to another, but one in eight a whole kind at 5%.
    """
    name, needed = "behaviour", "no kind of check lost (p < 0.01)"
    suite = run.suite_for(settings, judged.candidate.harm) if judged.candidate.uses_text else None
    if suite is None:
        return Check(name, "no suite", needed, True, "The harm has no behaviour suite.")
    new = run.run(judged.candidate, suite)
    said = f"{sum(kind.passed for kind in new.kinds)} of {sum(kind.checks for kind in new.kinds)} checks pass"
    if judged.champion is None or not judged.champion.uses_text:
        return Check(name, said, needed, True, "There is no champion to fall behind.")
    lost = run.regressions(run.run(judged.champion, suite), new)
    blocking = [each for each in lost if each.whole_kind and each.p < BEHAVIOUR_P]
    named = [
        f"{each.name} passes {each.candidate_passed}, the champion {each.champion_passed}" for each in blocking or lost
    ]
    why = "; ".join((*named[:_NAMED], *(["and more"] if len(named) > _NAMED else []))) + "." if named else ""
    return Check(name, said, needed, not blocking, why or "It behaves as well as the champion.")


def parts(judged: Judged) -> Check:
    """No slice of the served rows may be far behind that wasn't with the champion, and did worse than there."""
    name, needed = "slices", "none newly far behind"
    new = _sliced(judged, judged.new)
    lagging = slices.behind(new)
    said = f"{len(lagging)} of {len(new)} far behind"
    if judged.old is None:
        return Check(name, said, needed, True, _named(lagging) or "No slice is far behind.")
    before = {(each.dimension, each.value): each for each in _sliced(judged, judged.old)}
    lost = [each for each in lagging if _newly_behind(before[each.dimension, each.value], each)]
    return Check(name, said, needed, not lost, _named(lost) or "No slice has fallen far behind.")


def _sliced(judged: Judged, scores: Doubles) -> tuple[Slice, ...]:
    served = judged.rows.served
    rows = [row for row, is_served in zip(judged.rows.rows, served.tolist(), strict=True) if is_served]
    return slices.of_rows(rows, scores[served], judged.rows.labels[served])


def _newly_behind(old: Slice, new: Slice) -> bool:
    lost_rank = old.roc_auc is not None and new.roc_auc is not None and new.roc_auc < old.roc_auc
    further_off = abs(new.mean_score - new.share) > abs(old.mean_score - old.share)
    return not old.behind and (lost_rank or further_off)


def _named(found: tuple[Slice, ...] | list[Slice]) -> str:
    return "; ".join(f"{each.dimension} {each.value}: {each.why}" for each in found)


def latency(judged: Judged) -> Check:
    """The median time of one row, both versions measured in turn."""
    versions = (judged.candidate,) if judged.champion is None else (judged.candidate, judged.champion)
    budget = ENCODER_BUDGET_MS if judged.candidate.encodes else BUDGET_MS
    for _ in range(_TIMINGS):
        taken = single_row_ms(versions, judged.rows)
        allowed = max(budget, SLOWER_TIMES * taken[-1]) if judged.champion else budget
        passed = taken[0] <= allowed
        if passed:
            break
    why = "It answers quickly enough." if passed else "It answers too slowly."
    return Check("latency", f"{taken[0]:.2f} ms a row", f"≤ {allowed:.1f} ms", passed, why)

"""Reviewers: they judge what was reported and a uniformly random share of everything, some hours later, with errors."""

from __future__ import annotations

from leads.clock import HOUR, MINUTE, SECOND, Micros
from leads.events import DecisionMade, SubjectRef
from leads_client.fields import Verdict
from simulation.randomness import Single
from simulation.texts import Truth
from simulation.timeline import Draft, prompt

# Of what was reported, this share is judged; the rest is never looked at. Notices about accounts come with evidence.
JUDGED_SHARE, JUDGED_ACCOUNTS_SHARE = 0.75, 0.9
_ESCALATED_SHARE = 0.015
# A violation is overlooked more often than one is seen where there is none.
_FALSE_ALARMS_PER_MISS = 0.25
_TEAM = 9
_SENIOR = "rev-senior"


class Reviewers:
    """A team of whom some err more than others.

    Args:
        miss: mean chance to pass a violation.
    """

    def __init__(self, rng: Single, miss: float) -> None:
        self._rng = rng
        self._miss = {f"rev-{i:02d}": min(0.6, miss * rng.uniform(0.5, 1.5)) for i in range(1, _TEAM + 1)}
        self._names = list(self._miss)

    def judge(
        self,
        ref: SubjectRef,
        truth: Truth,
        after: Micros,
        *,
        propensity: float | None = None,
        within: Micros = 48 * HOUR,
    ) -> list[Draft]:
        """One reviewer's decision for each harm whose truth is known, some time after an instant.

        Args:
            propensity: the chance with which the subject was drawn, when it was drawn at random.
            within: it takes at most this long.
        """
        reviewer = self._rng.choice(self._names)
        delay = min(20 * MINUTE + int(5 * HOUR * self._rng.lognormvariate(0, 0.9)), within)
        decisions: list[Draft] = []
        for i, (harm, violating) in enumerate(truth.items()):
            if violating is not None:
                at = after + delay + i * 4 * SECOND
                decisions.extend(self._decide(ref, harm, violating, reviewer, at, propensity))
        return decisions

    def _decide(
        self, ref: SubjectRef, harm: str, violating: bool, reviewer: str, at: Micros, propensity: float | None
    ) -> list[Draft]:
        def decision(verdict: Verdict, by: str, when: Micros) -> Draft:
            return prompt(self._rng, when, DecisionMade(ref, harm, verdict, "human", by, propensity=propensity))

        if self._rng.random() < _ESCALATED_SHARE:
            # The senior reviewer takes the time it needs.
            later = at + int(self._rng.uniform(2, 20) * HOUR)
            return [decision("escalate", reviewer, at), decision(_verdict(violating), _SENIOR, later)]
        wrong = self._miss[reviewer] * (1.0 if violating else _FALSE_ALARMS_PER_MISS)
        return [decision(_verdict(violating ^ (self._rng.random() < wrong)), reviewer, at)]


def _verdict(violating: bool) -> Verdict:
    return "violating" if violating else "not_violating"

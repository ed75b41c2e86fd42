"""Reviewers decide on reported subjects and on a random sample of all, some hours later and with some mistakes."""

from __future__ import annotations

from random import Random

from leads.clock import HOUR, MINUTE, SECOND, Micros
from leads.events import DecisionMade, SubjectRef
from leads_client.fields import Verdict
from simulation.texts import Truth
from simulation.timeline import Draft, server_event

# Share of reported comments and accounts that get reviewed; notices about accounts come with evidence.
REVIEWED_SHARE, REVIEWED_ACCOUNTS_SHARE = 0.75, 0.9
_ESCALATED_SHARE = 0.015
# Reviewers miss violations more often than they see one where there is none.
_FALSE_ALARMS_PER_MISS = 0.25
_TEAM = 9
_SENIOR = "rev-senior"


class Reviewers:
    """A team in which some make more mistakes than others.

    Args:
        miss_rate: mean probability of missing a violation.
    """

    def __init__(self, rng: Random, miss_rate: float) -> None:
        self._rng = rng
        self._miss_rates = {f"rev-{i:02d}": min(0.6, miss_rate * rng.uniform(0.5, 1.5)) for i in range(1, _TEAM + 1)}
        self._names = list(self._miss_rates)

    def judge(
        self,
        ref: SubjectRef,
        truth: Truth,
        after: Micros,
        *,
        propensity: float | None = None,
        within: Micros = 48 * HOUR,
    ) -> list[Draft]:
        """One reviewer's decision for each harm whose truth is known, some time after `after`.

        Args:
            propensity: probability with which the subject was sampled; None if it was not sampled at random.
            within: maximum delay, µs.
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
            return server_event(self._rng, when, DecisionMade(ref, harm, verdict, "human", by, propensity=propensity))

        if self._rng.random() < _ESCALATED_SHARE:
            # The senior reviewer takes longer and makes no mistakes.
            later = at + int(self._rng.uniform(2, 20) * HOUR)
            return [decision("escalate", reviewer, at), decision(_verdict(violating), _SENIOR, later)]
        error_rate = self._miss_rates[reviewer] * (1.0 if violating else _FALSE_ALARMS_PER_MISS)
        return [decision(_verdict(violating ^ (self._rng.random() < error_rate)), reviewer, at)]


def _verdict(violating: bool) -> Verdict:
    return "violating" if violating else "not_violating"

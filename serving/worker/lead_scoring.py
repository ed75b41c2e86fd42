"""Scores subjects from what is stored about them, and offers the scores as leads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.errors import LeadsError, Unavailable
from leads.events import Subject
from leads.messages.wording import counted
from leads.policies import Policies
from serving.queue.offers import Offer, offer
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import ScoringResult, SubjectScore
from serving.scoring.scorer import Scorer

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How many leads were opened, and how many subjects could not be scored under any harm."""

    opened: int
    failed: int


class LeadScorer:
    """Scores for the worker: nothing is scored while the store or the database is down."""

    def __init__(self, policies: Policies, engine: Engine, scorer: Scorer) -> None:
        self._policies = policies
        self._engine = engine
        self._scorer = scorer
        # By harm, why it wasn't scored, as was last logged: every batch may have the same reason.
        self._logged: dict[str, str] = {}

    def score(
        self,
        subjects: Sequence[Subject],
        at: Micros,
        *,
        harm: str | None = None,
        then: Callable[[Connection], None] = lambda connection: None,
    ) -> Outcome:
        """Score subjects as of an instant and offer the scores, in one transaction with `then`.

        Args:
            harm: only this harm; default: all that apply and have a champion.

        Raises:
            Unavailable: the online store or the database doesn't respond. Nothing was offered.
        """
        harms = None if harm is None else (harm,)
        scored = self._scorer.score([ScoreRequest(one, harms) for one in subjects], at, "worker", explained="leads")
        if not scored.available:
            # Leads must not be based on incomplete data.
            raise Unavailable(
                "The online store or the database doesn't respond.", remedy="Check that both are running."
            )
        offers = [self._offer(score) for group in scored.groups for score in group.records()]
        with self._engine.begin() as connection:
            # A lead's waiting time starts with its evidence, even if it is scored late.
            opened = offer(connection, offers, at, self._policies.queue).opened
            then(connection)
        self._report(scored)
        have_score = {place for group in scored.groups for place in group.group.places}
        return Outcome(opened, len({error.index for error in scored.errors} - have_score))

    def _offer(self, score: SubjectScore) -> Offer:
        return Offer(
            subject=score.subject,
            harm=score.harm,
            score=score.score,
            tier=score.tier,
            model_version=score.version,
            prediction_id=score.prediction_id,
            reasons=score.reasons or (),
            severity=self._policies.harm(score.harm).severity,
            exposure=score.exposure,
            scored_at=score.at,
        )

    def _report(self, scored: ScoringResult) -> None:
        """Log subjects that can't be scored: for example, subjects known only from signals. They don't become leads.

        That a harm can't be scored, for example while its champion is damaged, is logged once per reason.
        """
        for group in scored.groups:
            self._logged.pop(group.group.version.harm, None)
        by_harm: dict[str | None, list[LeadsError]] = {}
        for one in scored.errors:
            by_harm.setdefault(one.harm, []).append(one.error)
        for harm, errors in by_harm.items():
            n, first = counted(len(errors), "subject"), errors[0].message
            if harm is None:
                _log.info("%s could not be scored; the first error: %s", n, first)
            elif self._logged.get(harm) != first:
                self._logged[harm] = first
                _log.info("%s could not be scored for %s; the first error: %s", n, harm, first)

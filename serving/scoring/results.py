"""What scoring returns: columns per model version, and from them one record per subject and harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from leads.clock import Micros
from leads.errors import LeadsError
from leads.events import Subject
from leads_client.fields import Tier
from serving.scoring.groups import VersionGroup
from serving.scoring.model_input import exposures
from serving.scoring.reasons.explanation import Explained, Reason


class SubjectScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one subject under one harm.

    Args:
        index: the position of the request in the call.
        model: the registered model's name; `version` is its version, `role` the alias under which it answers.
        at: the instant at which the features were evaluated, in µs since epoch.
        oldest_feature_age_s: age of the oldest stored row behind the score, in seconds; None if nothing is stored.
        degraded: flags for what was missing or given by the caller; empty for a score on complete stored data.
        exposure: at least 1; grows with the plays of the last 24 hours.
        reasons: None if the score isn't explained.
    """

    index: int
    subject: Subject
    harm: str
    score: float
    tier: Tier
    model: str
    version: str
    role: str
    contract_hash: str
    at: Micros
    oldest_feature_age_s: float | None
    degraded: tuple[str, ...]
    exposure: float
    prediction_id: str
    reasons: tuple[Reason, ...] | None


class SubjectError(msgspec.Struct, frozen=True):
    """Why a subject has no score: under one harm, or under any harm if `harm` is None."""

    index: int
    subject: Subject
    harm: str | None
    error: LeadsError


@dataclass(frozen=True)
class GroupScores:
    """The scores of one group of n inputs: columns of length n, in the order of the group's inputs.

    Args:
        ages_s: age of the oldest stored row behind each score, in seconds; None if nothing is stored.
        degraded: flags of each score.
        explained: by position in the group; only explained scores are present.
    """

    group: VersionGroup
    scores: Sequence[float]
    tiers: Sequence[Tier]
    ages_s: Sequence[float | None]
    degraded: Sequence[tuple[str, ...]]
    prediction_ids: Sequence[str]
    explained: Mapping[int, Explained]

    def records(self) -> list[SubjectScore]:
        """One record per input, in the group's order."""
        group, version = self.group, self.group.version
        exposure = exposures(group)
        return [
            SubjectScore(
                index=one.place,
                subject=one.request.subject,
                harm=version.harm,
                score=self.scores[n],
                tier=self.tiers[n],
                model=version.name,
                version=version.version,
                role=group.role,
                contract_hash=version.contract_hash,
                at=group.context.as_of,
                oldest_feature_age_s=self.ages_s[n],
                degraded=self.degraded[n],
                exposure=exposure[n],
                prediction_id=self.prediction_ids[n],
                reasons=self.explained[n].reasons if n in self.explained else None,
            )
            for n, one in enumerate(group.inputs)
        ]


@dataclass(frozen=True)
class ScoringResult:
    """The result of a whole scoring call.

    Args:
        harms: every harm in policies.yaml, in that order.
        groups: in the order of `harms`.
        errors: in the order of requests, then of `harms`.
        available: whether both the database and the online store responded.
        stored_bytes: bytes of stored text that were read.
    """

    harms: Sequence[str]
    groups: Sequence[GroupScores]
    errors: Sequence[SubjectError]
    available: bool = True
    stored_bytes: int = 0

    def records(self) -> list[SubjectScore | SubjectError]:
        """One record per request and harm, in the order of requests, then of harms."""
        order = {harm: n for n, harm in enumerate(self.harms)}
        found: list[SubjectScore | SubjectError] = [record for group in self.groups for record in group.records()]
        return sorted([*self.errors, *found], key=lambda x: (x.index, order.get(x.harm or "", -1)))

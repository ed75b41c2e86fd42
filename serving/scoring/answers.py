"""What scoring answers: columns per version, and from them one record per subject and harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from leads.clock import Micros
from leads.errors import LeadsError
from leads.events import Subject
from leads_client.fields import Tier
from serving.scoring.reasons import Explained, Reason

if TYPE_CHECKING:
    from serving.scoring.group import Group


class ScoreAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One score.

    Args:
        index: which request of the call it answers.
        model: registered model name; `version` its version, `role` its alias.
        at: the instant the features were evaluated at.
        oldest_feature_age_s: age of the oldest stored row behind the score; None when there was none.
        degraded: what the score had to do without, or was told by the caller; empty when nothing.
        exposure: at least 1; grows with the plays of the last 24 hours.
        reasons: None when not explained.
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


class ErrorEntry(msgspec.Struct, frozen=True):
    """Why a request (`harm` None), or one of its harms, has no score."""

    index: int
    subject: Subject
    harm: str | None
    error: LeadsError


@dataclass(frozen=True)
class GroupScores:
    """The scores of one group by one version: columns of length n, in the order of the group's inputs."""

    group: Group
    scores: Sequence[float]
    tiers: Sequence[Tier]
    ages_s: Sequence[float | None]
    degraded: Sequence[tuple[str, ...]]
    prediction_ids: Sequence[str]
    explained: Mapping[int, Explained]

    def answers(self) -> list[ScoreAnswer]:
        """One record per input."""
        group, version = self.group, self.group.version
        exposures = group.exposures()
        return [
            ScoreAnswer(
                index=one.place,
                subject=one.request.subject,
                harm=version.harm,
                score=self.scores[n],
                tier=self.tiers[n],
                model=version.name,
                version=version.version,
                role=group.role,
                contract_hash=version.contract_hash,
                at=group.as_of,
                oldest_feature_age_s=self.ages_s[n],
                degraded=self.degraded[n],
                exposure=exposures[n],
                prediction_id=self.prediction_ids[n],
                reasons=self.explained[n].reasons if n in self.explained else None,
            )
            for n, one in enumerate(group.inputs)
        ]


@dataclass(frozen=True)
class Scored:
    """A whole call: groups and errors in the order of harms in policies.yaml.

    Args:
        harms: in that order.
        available: whether the database and the online store answered.
    """

    harms: Sequence[str]
    groups: Sequence[GroupScores]
    errors: Sequence[ErrorEntry]
    available: bool = True

    def answers(self) -> list[ScoreAnswer | ErrorEntry]:
        """One record per request and harm, in the order of requests, then of harms."""
        order = {harm: n for n, harm in enumerate(self.harms)}
        found: list[ScoreAnswer | ErrorEntry] = [answer for group in self.groups for answer in group.answers()]
        return sorted([*self.errors, *found], key=lambda x: (x.index, order.get(x.harm or "", -1)))

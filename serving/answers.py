"""What scoring answers, per subject and harm."""

from __future__ import annotations

import msgspec

from leads.clock import Micros
from leads.errors import LeadsError
from leads.records import Subject, Tier
from serving.reasons import Reason


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
    role: str = "champion"
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

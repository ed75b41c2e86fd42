"""The scoring request and its response, with one result per subject, in order."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from leads_client.fields import Tier
from leads_client.schemas.base import MAX_BATCH, Harms, In, Instant, Out, RefOut, SubjectIn, WeighedReason, one_of


class ScoreIn(In, frozen=True):
    """Subjects to score. Without `harms`: under every harm that applies and has a champion.

    A harm whose champion doesn't serve at present has an error instead of a score, whether `harms` names it or not.
    `data` overrides stored content, and the score is flagged.
    """

    subjects: Annotated[tuple[SubjectIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    harms: Harms | None = None
    reasons: bool = False


class Explanation(Out, frozen=True):
    """How a score is composed, in log-odds: `base` + the reasons' weights + `rest` = `margin`, up to rounding.

    `margin` is the model's raw output, which calibration turns into the score; `base` is the same for every subject.
    """

    margin: float
    base: float
    reasons: tuple[WeighedReason, ...]
    rest: float


class ScoreOut(Out, frozen=True):
    """A subject's score under one harm.

    `explanation` is set only on request, and in a large call only for the highest scores. `degraded` lists what the
    score had to do without, and what the caller provided instead of stored data.
    """

    harm: str
    score: float
    tier: Annotated[str, one_of(Tier)]
    model: str
    model_version: str
    role: str
    contract_hash: str
    prediction_id: str
    oldest_feature_age_s: float | None
    degraded: tuple[str, ...]
    explanation: Explanation | None


class UnscoredOut(Out, frozen=True):
    """Why a subject has no score, under one harm or (null) any. `pointer` points to the wrong part of the request."""

    harm: str | None
    status: int
    title: str
    detail: str
    pointer: str


class ResultOut(Out, frozen=True):
    """A subject's scores and errors, in the order of harms in policies.yaml. `subject` is null if it is invalid."""

    subject: RefOut | None
    scores: tuple[ScoreOut, ...]
    errors: tuple[UnscoredOut, ...]


class ScoresOut(Out, frozen=True):
    """One result per subject, in order. `at` is the time as of which features were evaluated."""

    at: Instant
    results: tuple[ResultOut, ...]

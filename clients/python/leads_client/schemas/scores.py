"""A scoring request and its answer: one result per subject, in its place."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from leads_client.schemas.base import MAX_BATCH, Harms, In, Out, RefOut, SubjectIn, WeighedReason


class ScoreIn(In, frozen=True):
    """`harms` absent: every harm that applies and has a champion. `data` overrides what is stored, and is flagged."""

    subjects: Annotated[tuple[SubjectIn, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    harms: Harms | None = None
    reasons: bool = False


class Explanation(Out, frozen=True):
    """Where a score comes from, in log-odds: `base` + the reasons' weights + `rest` = `margin`, up to rounding.

    `margin` is the model's own output, which calibration turns into the score; `base` is where every subject starts.
    """

    margin: float
    base: float
    reasons: tuple[WeighedReason, ...]
    rest: float


class ScoreOut(Out, frozen=True):
    """A subject's score under one harm.

    `explanation` only when asked for, and for the highest scores of a large call; `degraded` says what the score had to
    do without, or was told by the caller.
    """

    harm: str
    score: float
    tier: str
    model: str
    model_version: str
    role: str
    contract_hash: str
    prediction_id: str
    oldest_feature_age_s: float | None
    degraded: tuple[str, ...]
    explanation: Explanation | None


class UnscoredOut(Out, frozen=True):
    """Why a subject has no score, under one harm or (null) any. `pointer` leads to the part of the request at fault."""

    harm: str | None
    status: int
    title: str
    detail: str
    pointer: str


class ResultOut(Out, frozen=True):
    """A subject's scores and errors, in the order of harms in policies.yaml. `subject` is null if it can't be read."""

    subject: RefOut | None
    scores: tuple[ScoreOut, ...]
    errors: tuple[UnscoredOut, ...]


class ScoresOut(Out, frozen=True):
    """One result per subject sent, in their order. `at` is the instant that features were evaluated at."""

    at: str
    results: tuple[ResultOut, ...]

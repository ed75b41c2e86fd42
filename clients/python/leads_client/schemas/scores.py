"""A scoring request and its answer as they travel over HTTP: one result per subject, in its place."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from leads.errors import InvalidInput
from leads.wire import MAX_BATCH, Harms, In, Out, RefOut, SubjectIn, WeighedReason, parse

# How many harms a type of subject has where none is named.
_ABOUT_ALL = 4


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


class BadSubject(NamedTuple):
    """A subject of a scoring request that can't be read."""

    error: InvalidInput


class Asked(NamedTuple):
    """A scoring request as far as it can be read."""

    subjects: tuple[SubjectIn | BadSubject, ...]
    harms: tuple[str, ...] | None
    reasons: bool

    @property
    def rows(self) -> int:
        """About how many scores it asks for; explaining one counts as several."""
        return len(self.subjects) * (len(self.harms) if self.harms else _ABOUT_ALL) * (32 if self.reasons else 1)


class _Loose(In, frozen=True):
    """`ScoreIn` whose subjects are read one by one."""

    subjects: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    harms: Harms | None = None
    reasons: bool = False


def parse_scoring(raw: bytes) -> Asked:
    """A scoring request, in which one bad subject spoils no other.

    Raises:
        InvalidInput: what is wrong is not a subject.
    """
    try:
        whole = parse(raw, ScoreIn)
        return Asked(whole.subjects, whole.harms, whole.reasons)
    except InvalidInput as error:
        if not (error.field or "").startswith("/subjects/"):
            raise
    loose = parse(raw, _Loose)
    return Asked(tuple(map(_subject, loose.subjects)), loose.harms, loose.reasons)


def _subject(raw: msgspec.Raw) -> SubjectIn | BadSubject:
    try:
        return parse(bytes(raw), SubjectIn)
    except InvalidInput as error:
        return BadSubject(error)

"""`POST /v1/score` and BentoML's native `score`: the same function behind both."""

from __future__ import annotations

from typing import NamedTuple

from leads.errors import LeadsError
from leads.keys import ApiKey
from serving.answers import ErrorEntry, ScoreAnswer
from serving.problems import Detail
from serving.runtime import Runtime
from serving.scoring import ScoreRequest
from serving.wire import (
    ReasonOut,
    ScoreIn,
    ScoreOut,
    ScoresOut,
    SubjectIn,
    UnscoredOut,
    time_text,
)
from serving.wire_leads import ref_out


class NothingScored(NamedTuple):
    """Not one of the subjects could be scored; the first error gives the kind."""

    first: LeadsError
    errors: tuple[Detail, ...]


def score(runtime: Runtime, key: ApiKey, body: ScoreIn) -> ScoresOut | NothingScored:
    """Score what the request asks for, as of now. Blocks.

    Raises:
        NotFound: a harm that policies.yaml doesn't declare.
        AccessDenied: the key lacks the scope, or is for other harms.
    """
    key.require("score")
    for i, harm in enumerate(body.harms or ()):
        runtime.policies.harm(harm, field=f"/harms/{i}")
        key.require_harm(harm, field=f"/harms/{i}")
    requests = [_request(subject, body.harms, key.harms) for subject in body.subjects]
    answers = runtime.scorer.score(requests, runtime.clock(), "api", explained="all" if body.reasons else "nothing")
    runtime.metrics.scored(answers)
    failed = [answer for answer in answers if isinstance(answer, ErrorEntry)]
    if len(failed) == len(answers):
        return NothingScored(failed[0].error, tuple(Detail(_pointer(x), _detail(x.error)) for x in failed))
    scores = tuple(_scored(answer) for answer in answers if isinstance(answer, ScoreAnswer))
    return ScoresOut(scores=scores, errors=tuple(map(_unscored, failed)))


def _request(subject: SubjectIn, harms: tuple[str, ...] | None, allowed: frozenset[str] | None) -> ScoreRequest:
    data = subject.data
    parent = data.parent.ref.subject if data.parent else None
    return ScoreRequest(subject.ref.subject, harms, data.text, data.account_id, parent, allowed)


def _scored(x: ScoreAnswer) -> ScoreOut:
    return ScoreOut(
        subject=ref_out(x.subject),
        harm=x.harm,
        score=x.score,
        tier=x.tier,
        model=x.model,
        model_version=x.version,
        role=x.role,
        contract_hash=x.contract_hash,
        prediction_id=x.prediction_id,
        at=time_text(x.at) or "",
        oldest_feature_age_s=x.oldest_feature_age_s,
        degraded=x.degraded,
        reasons=None if x.reasons is None else tuple(ReasonOut(code=r.code, text=r.text) for r in x.reasons),
    )


def _unscored(x: ErrorEntry) -> UnscoredOut:
    return UnscoredOut(
        subject=ref_out(x.subject),
        harm=x.harm,
        status=x.error.status,
        title=x.error.title,
        detail=_detail(x.error),
        pointer=_pointer(x),
    )


def _detail(error: LeadsError) -> str:
    return error.message if error.remedy is None else f"{error.message} {error.remedy}"


def _pointer(x: ErrorEntry) -> str:
    return f"/subjects/{x.index}{x.error.field or ''}"

"""Handles scoring requests, for `POST /v1/score` and for BentoML's native `score`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec import UNSET

from leads.api.declared import Declared
from leads.api.requests import InvalidSubject, ScoringRequest, time_text
from leads.db.keys import ApiKey
from leads.errors import LeadsError, TooManyRequests
from leads.events import Subject
from leads_client.schemas.base import RefOut, SubjectIn, WeighedReason
from leads_client.schemas.scores import Explanation, ResultOut, ScoreOut, ScoresOut, UnscoredOut
from serving.http.access.harms import check_harm
from serving.http.problems import Detail
from serving.observe import request_notes
from serving.runtime import Runtime
from serving.scoring.assemble import Explain
from serving.scoring.inputs import ScoreRequest
from serving.scoring.reasons.explanation import Explained
from serving.scoring.results import GroupScores, ScoringResult
from serving.scoring.stages import Stages
from serving.scoring.texts.limits import NO_LIMITS, Limits

# The subject's index, the harm (None if the error concerns all harms), and the error.
_Unscored = tuple[int, str | None, LeadsError]


class NothingScored(NamedTuple):
    """No subject could be scored. `first` is the error that determines the response's status."""

    first: LeadsError
    errors: tuple[Detail, ...]


class Scored(NamedTuple):
    """What the caller gets, and how many bytes of stored text were scored for it."""

    answer: ScoresOut | NothingScored
    stored_bytes: int


async def score(runtime: Runtime, key: ApiKey, body: ScoringRequest, body_bytes: int) -> ScoresOut | NothingScored:
    """Score the subjects of a request, as of now, and charge the key for the stored text that is scored.

    Args:
        body_bytes: the length of the request's body, for which the key has been charged.

    Raises:
        NotFound: policies.yaml doesn't define one of the harms.
        AccessDenied: the key lacks the scope or is limited to other harms.
        TooManyRequests: there is much stored text, and the key is over its rate limit by now.
        Unavailable: the request's deadline passed.
    """
    charged = 0

    def charge_before(stored_bytes: int) -> None:
        nonlocal charged
        try:
            runtime.rates.charge_before(key, stored_bytes, after=body_bytes)
        except TooManyRequests:
            runtime.metrics.rate_limited("key")
            raise
        charged = stored_bytes

    work = partial(score_blocking, runtime, key, body, Stages())
    scored = await runtime.score(body.rows, work, charge_before)
    runtime.rates.charge(key, scored.stored_bytes - charged, after=body_bytes + charged)
    return scored.answer


def score_blocking(
    runtime: Runtime, key: ApiKey, body: ScoringRequest, stages: Stages, limits: Limits = NO_LIMITS
) -> Scored:
    """Score the subjects of a request, as of now. Blocks.

    Args:
        limits: see `Scorer.score`.

    Raises:
        TooMuchText: there is more text than the limit.
        WouldWait: it may not wait for the database, but would have to.
        OutOfTime: the request's deadline has passed.
        NotFound: policies.yaml doesn't define one of the harms.
        AccessDenied: the key lacks the scope or is limited to other harms.
    """
    key.require("score")
    for i, harm in enumerate(body.harms or ()):
        check_harm(runtime.policies, key, harm, field=f"/harms/{i}")
    at = runtime.clock()
    requests, places, misfits = _requests(runtime.declared, body, key.harms)
    explained: Explain = "all" if body.reasons else "nothing"
    scored = runtime.scorer.score(requests, at, "api", explained=explained, stages=stages, limits=limits)
    runtime.metrics.count_scores(scored)
    _note(body, scored, stages)
    errors: list[_Unscored] = [(i, None, error) for i, error in misfits.items()]
    errors += [(places[x.index], x.harm, x.error) for x in scored.errors]
    if not scored.groups:
        errors.sort(key=lambda x: x[0])
        # A temporary failure (503) outranks errors that the caller has to fix (4xx).
        first = max((error for _, _, error in errors), key=lambda error: error.status)
        details = tuple(Detail(_pointer(i, error), _detail(error)) for i, _, error in errors)
        return Scored(NothingScored(first, details), scored.stored_bytes)
    response = ScoresOut(at=time_text(at) or "", results=_results(body, places, scored.groups, errors))
    stages.mark("answer")
    return Scored(response, scored.stored_bytes)


def _note(body: ScoringRequest, scored: ScoringResult, stages: Stages) -> None:
    """Note the call for the access log, metrics and trace. `stages.done` also receives the stages that follow."""
    notes = request_notes.current()
    if notes is not None:
        versions = [group.group.version for group in scored.groups]
        notes.note_scoring(
            stages.done,
            subjects=len(body.subjects),
            harms=dict.fromkeys(x.harm for x in versions),
            versions=[f"{x.harm}:{x.version}" for x in versions],
        )


def _requests(
    declared: Declared, body: ScoringRequest, allowed: frozenset[str] | None
) -> tuple[list[ScoreRequest], list[int], dict[int, LeadsError]]:
    """The requests of the valid subjects and their places in the body, and by place what is wrong with the others."""
    requests, places, misfits = [], [], dict[int, LeadsError]()
    for i, subject in enumerate(body.subjects):
        if isinstance(subject, InvalidSubject):
            misfits[i] = subject.error
            continue
        try:
            requests.append(_request(declared, subject, body.harms, allowed))
        except LeadsError as error:
            misfits[i] = error
            continue
        places.append(i)
    return requests, places, misfits


def _request(
    declared: Declared, subject: SubjectIn, harms: tuple[str, ...] | None, allowed: frozenset[str] | None
) -> ScoreRequest:
    named = Subject(subject.type_id, subject.id)
    if subject.data is UNSET:
        return ScoreRequest(named, harms, allowed=allowed)
    content = declared.read(subject.type_id, subject.data, whole=False)
    return ScoreRequest(
        named,
        harms,
        account_id=content.account_id,
        parent=content.parent.subject if content.parent else None,
        allowed=allowed,
        fields=content.values,
        judged=declared.judged(subject.type_id),
    )


def _results(
    body: ScoringRequest,
    places: Sequence[int],
    groups: Sequence[GroupScores],
    errors: Sequence[_Unscored],
) -> tuple[ResultOut, ...]:
    """One result per subject, in the order of the request."""
    scores: list[list[ScoreOut]] = [[] for _ in body.subjects]
    for group in groups:
        for n, score_ in enumerate(_scores(group)):
            scores[places[group.group.places[n]]].append(score_)
    unscored: dict[int, list[UnscoredOut]] = {}
    for i, harm, error in errors:
        unscored.setdefault(i, []).append(_unscored(i, harm, error))
    return tuple(
        ResultOut(
            subject=None if isinstance(subject, InvalidSubject) else RefOut(subject.id, subject.type_id),
            scores=tuple(scores[i]),
            errors=tuple(unscored.get(i, ())),
        )
        for i, subject in enumerate(body.subjects)
    )


def _scores(x: GroupScores) -> list[ScoreOut]:
    version, role = x.group.version, x.group.role
    harm, name, number, hash_ = version.harm, version.name, version.version, version.contract_hash
    return [
        ScoreOut(
            harm=harm,
            score=score_,
            tier=tier,
            model=name,
            model_version=number,
            role=role,
            contract_hash=hash_,
            prediction_id=id_,
            oldest_feature_age_s=age,
            degraded=flags,
            explanation=_explanation(x.explained.get(n)),
        )
        for n, (score_, tier, id_, age, flags) in enumerate(
            zip(x.scores, x.tiers, x.prediction_ids, x.ages_s, x.degraded, strict=True)
        )
    ]


def _explanation(x: Explained | None) -> Explanation | None:
    if x is None:
        return None
    return Explanation(
        margin=round(x.margin, 6),
        base=round(x.base, 6),
        reasons=tuple(WeighedReason(code=r.code, text=r.text, weight=r.weight) for r in x.reasons),
        rest=round(x.rest, 6),
    )


def _unscored(i: int, harm: str | None, error: LeadsError) -> UnscoredOut:
    return UnscoredOut(
        harm=harm, status=error.status, title=error.title, detail=_detail(error), pointer=_pointer(i, error)
    )


def _detail(error: LeadsError) -> str:
    return error.message if error.remedy is None else f"{error.message} {error.remedy}"


def _pointer(i: int, error: LeadsError) -> str:
    field = error.field if error.field and error.field.startswith("/") else ""
    return f"/subjects/{i}{field}"

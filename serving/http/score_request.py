"""`POST /v1/score` and BentoML's native `score`: the same function behind both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from leads.api.requests import InvalidSubject, ScoringRequest, time_text
from leads.db.keys import ApiKey
from leads.errors import LeadsError
from leads.events import Subject
from leads_client.schemas.base import RefOut, SubjectIn, WeighedReason
from leads_client.schemas.scores import Explanation, ResultOut, ScoreOut, ScoresOut, UnscoredOut
from serving.http.problems import Detail
from serving.observe import request_notes
from serving.runtime import Runtime
from serving.scoring.assemble import Explain
from serving.scoring.inputs import ScoreRequest
from serving.scoring.reasons import Explained
from serving.scoring.results import GroupScores, ScoringResult
from serving.scoring.stages import Stages

# The subject's place, the harm if it is about one, and what is wrong.
_Unscored = tuple[int, str | None, LeadsError]


class NothingScored(NamedTuple):
    """Not one of the subjects could be scored; the gravest error, the first of several, gives the kind."""

    first: LeadsError
    errors: tuple[Detail, ...]


def score(runtime: Runtime, key: ApiKey, body: ScoringRequest, stages: Stages) -> ScoresOut | NothingScored:
    """Score what the request asks for, as of now. Blocks.

    Raises:
        NotFound: a harm that policies.yaml doesn't declare.
        AccessDenied: the key lacks the scope, or is for other harms.
    """
    key.require("score")
    for i, harm in enumerate(body.harms or ()):
        runtime.policies.harm(harm, field=f"/harms/{i}")
        key.require_harm(harm, field=f"/harms/{i}")
    at = runtime.clock()
    readable = [(i, one) for i, one in enumerate(body.subjects) if isinstance(one, SubjectIn)]
    requests = [_request(one, body.harms, key.harms) for _, one in readable]
    explained: Explain = "all" if body.reasons else "nothing"
    scored = runtime.scorer.score(requests, at, "api", explained=explained, stages=stages)
    runtime.metrics.count_scores(scored)
    _note(body, scored, stages)
    places = [i for i, _ in readable]
    errors: list[_Unscored] = [
        (i, None, one.error) for i, one in enumerate(body.subjects) if isinstance(one, InvalidSubject)
    ]
    errors += [(places[x.index], x.harm, x.error) for x in scored.errors]
    if not scored.groups:
        errors.sort(key=lambda x: x[0])
        # What may pass by itself comes before what the caller has to mend.
        first = max((error for _, _, error in errors), key=lambda error: error.status)
        return NothingScored(first, tuple(Detail(_pointer(i, error), _detail(error)) for i, _, error in errors))
    answer = ScoresOut(at=time_text(at) or "", results=_results(body, places, scored.groups, errors))
    stages.mark("answer")
    return answer


def _note(body: ScoringRequest, scored: ScoringResult, stages: Stages) -> None:
    """For the request's line in the log, its metrics and its trace; stages still to come are seen there too."""
    notes = request_notes.current()
    if notes is not None:
        versions = [group.group.version for group in scored.groups]
        notes.note_scoring(
            stages.done,
            subjects=len(body.subjects),
            harms=dict.fromkeys(x.harm for x in versions),
            versions=[f"{x.harm}:{x.version}" for x in versions],
        )


def _request(subject: SubjectIn, harms: tuple[str, ...] | None, allowed: frozenset[str] | None) -> ScoreRequest:
    data = subject.data
    parent = Subject(data.parent.type_id, data.parent.id) if data.parent else None
    return ScoreRequest(Subject(subject.type_id, subject.id), harms, data.text, data.account_id, parent, allowed)


def _results(
    body: ScoringRequest,
    places: Sequence[int],
    groups: Sequence[GroupScores],
    errors: Sequence[_Unscored],
) -> tuple[ResultOut, ...]:
    """One result per subject sent, in its place."""
    scores: list[list[ScoreOut]] = [[] for _ in body.subjects]
    for group in groups:
        for n, one in enumerate(_scores(group)):
            scores[places[group.group.places[n]]].append(one)
    unscored: dict[int, list[UnscoredOut]] = {}
    for i, harm, error in errors:
        unscored.setdefault(i, []).append(_unscored(i, harm, error))
    return tuple(
        ResultOut(
            subject=None if isinstance(one, InvalidSubject) else RefOut(one.id, one.type_id),
            scores=tuple(scores[i]),
            errors=tuple(unscored.get(i, ())),
        )
        for i, one in enumerate(body.subjects)
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

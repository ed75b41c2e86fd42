"""What each REST route is for, takes and gives, for OpenAPI."""

from __future__ import annotations

from typing import NamedTuple

from leads.db.keys import Scope
from leads.errors import LeadsError
from leads_client.schemas.events import Accepted, ItemsIn, PlaysIn, SignalsIn
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    LeadDetail,
    LeadsOut,
    ModelsOut,
    ReleasedOut,
    ReleaseIn,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.scores import ScoreIn, ScoresOut
from serving.http.openapi import problem_examples as problems


class RouteDocs(NamedTuple):
    """One route.

    Args:
        scope: None: any key will do.
        writes: it changes something, once per Idempotency-Key.
        parameters: path or query hold some.
        problems: examples of those that other routes don't have.
    """

    summary: str
    description: str
    scope: Scope | None
    response: type
    body: type | None = None
    status: int = 200
    writes: bool = False
    parameters: bool = False
    problems: tuple[LeadsError, ...] = ()


def _intake(summary: str, about: str, body: type, *own: LeadsError) -> RouteDocs:
    about = f"{about} At most 1,000. Durable before the answer; features see it within about a second, leads follow."
    return RouteDocs(summary, about, "events:write", Accepted, body, status=202, writes=True, problems=own)


ROUTES = {
    "POST /score": RouteDocs(
        "Score subjects under harms",
        "By id, by text and fields, or both: given fields override stored ones, and are flagged. One result per "
        "subject sent, in its place; what is wrong with a subject stands there and spoils no other. The call fails "
        "only where nothing could be scored.",
        "score",
        ScoresOut,
        ScoreIn,
        problems=(
            problems.NOT_STORED,
            problems.harm_not_found("/harms/0"),
            problems.harm_not_allowed("/harms/0"),
            problems.missing_field("subjects"),
            problems.NO_MODEL,
        ),
    ),
    "GET /models": RouteDocs(
        "Which version answers for each harm",
        "`serving` is what answers in the process that was asked, `aliases` what the registry says, `refused` why a "
        "version that should answer doesn't, `previous` the one that is kept at hand.",
        None,
        ModelsOut,
    ),
    "POST /items": _intake(
        "Tell of items and accounts that came to be or were edited",
        "The newest says what an item holds. The same `eventId` sent again changes nothing.",
        ItemsIn,
        problems.missing_field("items"),
        problems.INVALID_TIME,
    ),
    "POST /signals": _intake(
        "Tell of reports, notices, hash matches, other classifiers' scores",
        "Each bears on one harm, or on any. The same `eventId` sent again changes nothing.",
        SignalsIn,
        problems.missing_field("signals"),
        problems.harm_not_found("/signals/0/harm"),
        problems.harm_not_allowed("/signals/0/harm"),
    ),
    "POST /plays": _intake(
        "Tell of plays",
        "Who listened to what, for how long, from which device. The same `eventId` sent again changes nothing.",
        PlaysIn,
        problems.missing_field("plays"),
    ),
    "GET /leads": RouteDocs(
        "Leads by falling priority",
        "Priority is score × severity × exposure, growing while a lead waits. Following `nextCursor` neither repeats "
        "nor skips a lead that stays as it is. With scores, so not for those who judge: they claim.",
        "leads:read",
        LeadsOut,
        parameters=True,
        problems=(problems.harm_not_found("/harm"), problems.harm_not_allowed("/harm"), problems.INVALID_CURSOR),
    ),
    "GET /leads/{lead_id}": RouteDocs(
        "Everything known of a lead",
        "With what its subject holds, and the signals about it.",
        "leads:read",
        LeadDetail,
        parameters=True,
        problems=(problems.LEAD_NOT_FOUND,),
    ),
    "GET /leads/{lead_id}/audit": RouteDocs(
        "What happened to a lead",
        "Who did what and when, oldest first.",
        "leads:read",
        TrailOut,
        parameters=True,
        problems=(problems.LEAD_NOT_FOUND,),
    ),
    "POST /leads/claim": RouteDocs(
        "Lease the best leads",
        "Nobody else gets them until they are decided, released, or the lease runs out. Shown without score, tier and "
        "priority, so that these don't sway the verdict.",
        "leads:decide",
        ClaimedOut,
        ClaimIn,
        writes=True,
        problems=(
            problems.missing_field("reviewer"),
            problems.harm_not_found("/harms"),
            problems.harm_not_allowed("/harms"),
        ),
    ),
    "POST /leads/{lead_id}/release": RouteDocs(
        "Give a claimed lead back",
        "It is open again for everybody.",
        "leads:decide",
        ReleasedOut,
        ReleaseIn,
        writes=True,
        parameters=True,
        problems=(problems.missing_field("reviewer"), problems.LEAD_NOT_FOUND, problems.NOT_CLAIMED),
    ),
    "POST /leads/{lead_id}/decision": RouteDocs(
        "Decide a lead",
        "A verdict becomes an event and a label. `escalate` takes the lead out of the queue without one. A human "
        "outranks automation; the same verdict by the same reviewer sent again is one decision.",
        "leads:decide",
        DecidedOut,
        DecisionIn,
        writes=True,
        parameters=True,
        problems=(
            problems.missing_field("verdict"),
            problems.LEAD_NOT_FOUND,
            problems.CLAIMED_BY_ANOTHER,
            problems.ALREADY_DECIDED,
        ),
    ),
    "POST /decisions": RouteDocs(
        "Decide a subject, lead or not; overturn a decision",
        "With `appeal` an earlier human decision is overturned; without, it stands.",
        "leads:decide",
        DecidedOut,
        SubjectDecisionIn,
        writes=True,
        problems=(
            problems.missing_field("harm"),
            problems.SUBJECT_NOT_FOUND,
            problems.harm_not_found("/harm"),
            problems.harm_not_allowed("/harm"),
            problems.CLAIMED_BY_ANOTHER,
            problems.ALREADY_DECIDED,
        ),
    ),
}

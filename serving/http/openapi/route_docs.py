"""The OpenAPI texts of every REST route: summary, description, schemas, and problems."""

from __future__ import annotations

from leads.errors import LeadsError
from leads_client.schemas.events import Accepted, EventsIn, ItemsIn, PlaysIn, SignalsIn
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    ExtendedOut,
    ExtendIn,
    HeldOut,
    LeadDetail,
    LeadsOut,
    ModelsOut,
    ReleasedOut,
    ReleaseIn,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.scores import ScoreIn, ScoresOut
from leads_client.schemas.stats import StatsOut
from leads_client.schemas.types import HarmsOut, TypesOut
from serving.http.openapi import problem_examples as problems
from serving.http.openapi import tags
from serving.http.openapi.alert_docs import ROUTES as ALERTS
from serving.http.openapi.documented import RouteDocs
from serving.http.openapi.measured_docs import ROUTES as MEASURED


def _intake(id: str, summary: str, about: str, body: type, *own: LeadsError) -> RouteDocs:
    about = (
        f"{about} At most 1,000 per request. Stored durably before the response. Scores use them within about a second."
    )
    return RouteDocs(
        id, tags.EVENTS, summary, about, "events:write", Accepted, body, status=202, writes=True, problems=own
    )


ROUTES = {
    "POST /score": RouteDocs(
        "score",
        tags.SCORING,
        "Score subjects under harms",
        "Send subjects by id, with their data, or both; data in the request overrides what is stored, and the score is "
        "flagged. The response has one result per subject, in the order of the request. An error in one subject "
        "doesn't affect the others. The request fails only if nothing could be scored.",
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
        "listModels",
        tags.MODELS,
        "List the versions that serve each harm",
        "`serving` is the version that serves in the process that handled the request, `aliases` what the registry "
        "says, `refused` why a version failed verification, `previous` the version kept loaded for a roll-back.",
        None,
        ModelsOut,
    ),
    "GET /harms": RouteDocs(
        "listHarms",
        tags.PLATFORM,
        "List the harms that the key may access",
        "With the types that each applies to, and the champion that serves it with the lowest score of each tier.",
        None,
        HarmsOut,
    ),
    "GET /types": RouteDocs(
        "listTypes",
        tags.PLATFORM,
        "List the types of items and their fields",
        "`schema` is the JSON Schema of a type's `data`. The types are declared in platform.yaml.",
        None,
        TypesOut,
    ),
    "POST /items": _intake(
        "sendItems",
        "Send new or edited items and accounts",
        "The version of an item with the latest `occurredAt` applies. Sending an event again has no effect.",
        ItemsIn,
        problems.missing_field("items"),
        problems.EVENT_ID_USED,
        problems.INVALID_TIME,
    ),
    "POST /signals": _intake(
        "sendSignals",
        "Send reports, notices, hash matches, and other classifiers' scores",
        "A signal concerns one harm, or all if it names none. Sending an event again has no effect.",
        SignalsIn,
        problems.missing_field("signals"),
        problems.harm_not_found("/signals/0/harm"),
        problems.harm_not_allowed("/signals/0/harm"),
    ),
    "POST /plays": _intake(
        "sendPlays",
        "Send plays",
        "Who listened to what, for how long, on which device. Sending an event again has no effect.",
        PlaysIn,
        problems.missing_field("plays"),
    ),
    "POST /events": _intake(
        "sendEvents",
        "Send events of the kinds that platform.yaml declares",
        "`data` has the fields of the event's kind; `GET /v1/types` lists the kinds. Without a `subject`, the event is "
        "about the account that did it.",
        EventsIn,
        problems.missing_field("events"),
        problems.EVENT_ID_USED,
        problems.INVALID_TIME,
    ),
    "GET /leads": RouteDocs(
        "listLeads",
        tags.QUEUE,
        "List leads, highest priority first",
        "Priority is score × severity × exposure and doubles for every `aging_hours` that a lead waits. Following "
        "`nextCursor` neither repeats nor skips unchanged leads. A lead that a new score ranks lower may appear once "
        "more, and one that it ranks higher may be skipped. The list shows scores, so it isn't meant for reviewers: "
        "they claim leads.",
        "leads:read",
        LeadsOut,
        parameters=True,
        problems=(problems.harm_not_found("/harm"), problems.harm_not_allowed("/harm"), problems.INVALID_CURSOR),
    ),
    "GET /leads/stats": RouteDocs(
        "getQueueStats",
        tags.QUEUE,
        "Get the depth and throughput of the queue",
        "By harm: leads by state, the age of the oldest open lead, and how many reviews were decided, escalated, "
        "released or expired in the last hour and the last 24 hours. By reviewer: the same throughput, and how many "
        "leads they hold now. A key that is limited to some harms gets the figures of these harms alone.",
        "leads:read",
        StatsOut,
    ),
    "GET /leads/{lead_id}": RouteDocs(
        "getLead",
        tags.QUEUE,
        "Get a lead",
        "Includes the subject's content and the newest 200 signals about it.",
        "leads:read",
        LeadDetail,
        parameters=True,
        problems=(problems.LEAD_NOT_FOUND,),
    ),
    "GET /leads/{lead_id}/audit": RouteDocs(
        "getLeadAuditTrail",
        tags.QUEUE,
        "Get a lead's audit trail",
        "Who did what and when: the newest 1,000 entries, oldest first.",
        "leads:read",
        TrailOut,
        parameters=True,
        problems=(problems.LEAD_NOT_FOUND,),
    ),
    "POST /leads/claim": RouteDocs(
        "claimLeads",
        tags.REVIEWS,
        "Claim the leads with the highest priority",
        "No other reviewer gets them until they are decided or released, or the lease expires. They are shown without "
        "score, tier and priority, so that these don't influence the verdict. `contentVersion` names what is shown. "
        "If the content was edited after it was scored, `contentChanged` is true and there are no reasons.",
        "leads:decide",
        ClaimedOut,
        ClaimIn,
        writes=True,
        problems=(
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
            problems.HOLDS_TOO_MANY,
            problems.harm_not_found("/harms"),
            problems.harm_not_allowed("/harms"),
        ),
    ),
    "GET /reviews": RouteDocs(
        "listHeldLeads",
        tags.REVIEWS,
        "List the leads that a reviewer holds",
        "With the content that each claim showed; those whose lease runs out first come first.",
        "leads:decide",
        HeldOut,
        parameters=True,
        problems=(
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
        ),
    ),
    "POST /leads/{lead_id}/extend": RouteDocs(
        "extendLease",
        tags.REVIEWS,
        "Extend the lease of a claimed lead",
        "It then lasts for another full period from now.",
        "leads:decide",
        ExtendedOut,
        ExtendIn,
        writes=True,
        parameters=True,
        problems=(
            problems.LEAD_NOT_FOUND,
            problems.NOT_CLAIMED,
            problems.LEASE_EXPIRED,
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
        ),
    ),
    "POST /leads/{lead_id}/release": RouteDocs(
        "releaseLead",
        tags.REVIEWS,
        "Release a claimed lead",
        "Any reviewer can claim it again.",
        "leads:decide",
        ReleasedOut,
        ReleaseIn,
        writes=True,
        parameters=True,
        problems=(
            problems.LEAD_NOT_FOUND,
            problems.NOT_CLAIMED,
            problems.LEASE_EXPIRED,
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
        ),
    ),
    "POST /leads/{lead_id}/decision": RouteDocs(
        "decideLead",
        tags.REVIEWS,
        "Decide a lead",
        "A verdict becomes an event and a label. `escalate` takes the lead out of the queue without a verdict. A "
        "human's decision outranks automation's. Repeating a reviewer's verdict has no effect. The verdict is about "
        "the content that the claim showed; if that has changed since, the response is 409 and names the new version. "
        "A reviewer who doesn't hold the lead says with `contentVersion` or `reviewId` which content they were shown.",
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
            problems.CONTENT_CHANGED,
            problems.CONTENT_NOT_NAMED,
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
        ),
    ),
    "POST /decisions": RouteDocs(
        "decideSubject",
        tags.REVIEWS,
        "Decide a subject without a lead, or overturn a decision",
        "A human's earlier decision stands unless `appeal` is true. If the subject has a lead, `contentVersion` says "
        "which content the verdict is about, unless the reviewer holds the lead.",
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
            problems.CONTENT_CHANGED,
            problems.CONTENT_NOT_NAMED,
            problems.NO_REVIEWER,
            problems.NOT_YOUR_REVIEWER,
        ),
    ),
    **MEASURED,
    **ALERTS,
}

"""The request and response examples in OpenAPI. Tests check each against its schema, and send the requests."""

from __future__ import annotations

from typing import Any

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
from serving.http.openapi import alert_docs, measured_examples

# The lead of the subject below, and where a page that ends with it ends.
LEAD_ID = "l_0f71221d6755af03bebde1a9"
CURSOR = "WyJyMSIsLTE0MjEzLjI1LCJsXzBmNzEyMjFkNjc1NWFmMDNiZWJkZTFhOSJd"
_AT, _LATER = "2026-03-01T12:00:00Z", "2026-03-01T12:15:00Z"
_REF = {"id": "c-81", "typeId": "comment"}
_TEXT = "Great tune! Visit my channel for free coins"
_SUBJECT = {**_REF, "data": {"text": _TEXT, "accountId": "a-7", "parent": {"id": "t-3", "typeId": "track"}}}
_CONTENT = "17-5d41402abc4b2a76b9719d911017c592"
_DECISION = {"verdict": "violating", "reviewer": "rev-12", "reason": "Sells followers."}
_REASON = {"code": "TEXT_RESEMBLES_VIOLATIONS", "text": "the wording is very similar to violating texts"}
_WEIGHED = {**_REASON, "weight": 2.125}
_VERSION = {"model": "leads-spam", "modelVersion": "3"}
_PREDICTION = "4f1d0a3be5c29a7716c8f00de2b5a961"

Examples = dict[str, Any]
REQUESTS: dict[type, Examples] = {
    ScoreIn: {
        "By id": {"subjects": [_REF], "harms": ["spam"], "reasons": True},
        "By text": {"subjects": [{"id": "new", "typeId": "comment", "data": {"text": _TEXT}}]},
        "Both: sent fields override stored ones": {"subjects": [_SUBJECT], "harms": ["spam"]},
    },
    ItemsIn: {"A comment on a track": {"items": [{**_SUBJECT, "occurredAt": _AT, "eventId": "ev-1"}]}},
    SignalsIn: {
        "A user's report": {
            "signals": [{"subject": _REF, "kind": "user_report", "source": "app", "harm": "spam", "reporterId": "a-9"}]
        },
        "Another classifier's score": {
            "signals": [{"subject": _REF, "kind": "classifier", "source": "vendor-x", "harm": "spam", "score": 0.81}]
        },
    },
    PlaysIn: {
        "A play": {
            "plays": [
                {"subject": {"id": "t-3", "typeId": "track"}, "accountId": "a-7", "seconds": 31.5, "deviceId": "d-1"}
            ]
        }
    },
    EventsIn: {
        "An account follows another": {
            "events": [{"kind": "follow", "accountId": "a-7", "subject": {"id": "a-8", "typeId": "account"}}]
        }
    },
    ClaimIn: {"The top five": {"reviewer": "rev-12", "n": 5, "harms": ["spam"]}},
    ReleaseIn: {"By the reviewer who claimed it": {"reviewer": "rev-12"}},
    ExtendIn: {"By the reviewer who claimed it": {"reviewer": "rev-12"}},
    DecisionIn: {
        "Violating": _DECISION,
        "Not sure": {"verdict": "escalate", "reviewer": "rev-12"},
        "About the old content": {**_DECISION, "onOldContent": True},
        "Without a claim": {**_DECISION, "contentVersion": _CONTENT},
    },
    SubjectDecisionIn: {
        "A subject": {**_DECISION, "subject": _REF, "harm": "spam"},
        "An appeal": {**_DECISION, "subject": _REF, "harm": "spam", "appeal": True, "contentVersion": _CONTENT},
    },
}  # fmt: skip
_TIERS = {"review": 0.62, "auto": None}
_SCORE = {
    "harm": "spam",
    "score": 0.9312,
    "tier": "review",
    **_VERSION,
    "role": "champion",
    "contractHash": "9f2c41d07a3b",
    "predictionId": _PREDICTION,
    "oldestFeatureAgeS": 84.2,
    "degraded": ["text_given"],
    "explanation": {"margin": 2.605, "base": -1.1, "reasons": [_WEIGHED], "rest": 1.58},
}
_UNKNOWN = {
    "harm": None,
    "status": 404,
    "title": "Not found",
    "detail": "comment 'c-99' is unknown. Send it with POST /v1/items first, or give its text.",
    "pointer": "/subjects/1/id",
}
_LEAD = {
    "id": LEAD_ID,
    "subject": _REF,
    "harm": "spam",
    "state": "open",
    "score": 0.9312,
    "tier": "review",
    **_VERSION,
    "predictionId": _PREDICTION,
    "reasons": [_WEIGHED],
    "priority": 4.73,
    "createdAt": _AT,
    "scoredAt": _AT,
    "claimedBy": None,
    "leaseUntil": None,
    "decidedAt": None,
    "verdict": None,
    "contentChanged": False,
}
_REVIEW_ID = "r_4b1d0c7e9a2f5d8b6c3e1f70"
_OFFERED = {"score": 0.9312, "tier": "review", "modelVersion": "3", "predictionId": _PREDICTION}
_DECIDED = {
    "subject": _REF,
    "harm": "spam",
    "by": "human",
    "leadId": LEAD_ID,
    "reviewId": _REVIEW_ID,
    "contentVersion": _CONTENT,
    "repeated": False,
}
_CLAIMED = {
    "id": LEAD_ID,
    "reviewId": _REVIEW_ID,
    "contentVersion": _CONTENT,
    "subject": _SUBJECT,
    "harm": "spam",
    "harmTitle": "Spam and scams",
    **_VERSION,
    "reasons": [_REASON],
    "leaseUntil": _LATER,
    "createdAt": _AT,
    "scoredAt": _AT,
    "newContent": None,
    "contentChanged": False,
}
_HARM = {"harm": "spam", "title": "Spam and scams", "typeIds": ["comment"], "champion": "3", "thresholds": _TIERS}
_CLAIM = {"leaseUntil": _LATER, "reviewId": _REVIEW_ID, "contentVersion": _CONTENT}
RESPONSES: dict[type, Examples] = {
    ScoresOut: {
        "One scored, one unknown": {
            "at": _AT,
            "results": [
                {"subject": _REF, "scores": [_SCORE], "errors": []},
                {"subject": {"id": "c-99", "typeId": "comment"}, "scores": [], "errors": [_UNKNOWN]},
            ],
        }
    },
    Accepted: {"One new": {"accepted": 1, "duplicates": 0, "eventIds": ["ev-1"]}},
    LeadsOut: {
        "A page that is not the last": {"leads": [_LEAD], "nextCursor": CURSOR},
        "The last page": {"leads": [], "nextCursor": None},
    },
    StatsOut: {
        "One harm and one reviewer": {
            "at": _AT,
            "harms": [
                {
                    "harm": "spam",
                    "leads": {"open": 182, "claimed": 5, "decided": 9401, "escalated": 12, "withdrawn": 377},
                    "oldestOpenS": 5417.25,
                    "lastHour": {"decided": 41, "escalated": 1, "released": 2, "expired": 0},
                    "last24Hours": {"decided": 655, "escalated": 9, "released": 20, "expired": 3},
                }
            ],
            "reviewers": [
                {
                    "reviewer": "rev-12",
                    "held": 5,
                    "lastHour": {"decided": 41, "escalated": 1, "released": 2, "expired": 0},
                    "last24Hours": {"decided": 312, "escalated": 4, "released": 11, "expired": 1},
                }
            ],
        }
    },
    LeadDetail: {
        "An open lead": {
            "lead": _LEAD,
            "contentVersion": _CONTENT,
            "subject": _SUBJECT,
            "signals": [{"kind": "user_report", "source": "app", "harm": "spam", "score": None, "occurredAt": _AT}],
        }
    },
    TrailOut: {
        "Opened, then claimed": {
            "leadId": LEAD_ID,
            "entries": [
                {"at": _AT, "action": "offered", "actor": "scoring", "key": None, "detail": _OFFERED},
                {"at": _AT, "action": "claimed", "actor": "rev-12", "key": "3f9a0c71be42", "detail": _CLAIM},
            ],
        }
    },
    ClaimedOut: {
        "One lead": {"leads": [_CLAIMED]},
        "No open leads": {"leads": []},
    },
    HeldOut: {"One lead": {"reviewer": "rev-12", "leads": [_CLAIMED]}},
    ExtendedOut: {"Extended": {"id": LEAD_ID, "leaseUntil": _LATER}},
    ReleasedOut: {"Open again": {"id": LEAD_ID, "state": "open"}},
    DecidedOut: {"Decided": {**_DECIDED, "verdict": "violating", "reviewer": "rev-12", "state": "decided"}},
    HarmsOut: {"A harm with a champion": {"harms": [_HARM]}},
    TypesOut: {
        "Tracks": {
            "types": [
                {
                    "typeId": "track",
                    "title": "Track",
                    "parents": None,
                    "fields": [
                        {
                            "name": "durationS",
                            "kind": "number",
                            "title": "Duration",
                            "required": False,
                            "judged": False,
                            "shown": True,
                            "blur": False,
                            "personal": False,
                            "unit": "seconds",
                            "values": None,
                        }
                    ],
                    "schema": {"type": "object", "properties": {"durationS": {"type": "number"}}},
                }
            ],
            "events": [
                {
                    "kind": "follow",
                    "title": "Follow",
                    "about": ["account"],
                    "byRequired": True,
                    "fields": [],
                    "schema": {"type": "object", "properties": {}},
                }
            ],
        }
    },
    ModelsOut: {
        "A champion serves, a newer version was refused, a canary is on trial": {
            "checkedAt": _AT,
            "models": [
                {
                    "harm": "spam",
                    "model": "leads-spam",
                    "serving": "3",
                    "champion": {"version": "3", "loaded": True},
                    "canary": {"version": "5", "loaded": True, "share": 0.05, "retreated": None},
                    "challenger": None,
                    "previous": "2",
                    "aliases": {"champion": "4", "canary": "5"},
                    "converged": False,
                    "refused": {"4": "golden rows don't reproduce"},
                }
            ],
        },
        "A canary has retreated": {
            "checkedAt": _AT,
            "models": [
                {
                    "harm": "spam",
                    "model": "leads-spam",
                    "serving": "3",
                    "champion": {"version": "3", "loaded": True},
                    "canary": {
                        "version": "5",
                        "loaded": True,
                        "share": 0.05,
                        "retreated": {
                            "at": _AT,
                            "why": "Scores of 600 subjects differ by 0.12 on average; at most 0.05 is allowed.",
                            "host": "api-1",
                        },
                    },
                    "challenger": {"version": "6", "loaded": True},
                    "previous": "2",
                    "aliases": {"champion": "3", "canary": "5", "challenger": "6"},
                    "converged": True,
                    "refused": {},
                }
            ],
        },
    },
}
REQUESTS |= alert_docs.REQUESTS
RESPONSES |= measured_examples.RESPONSES | alert_docs.RESPONSES

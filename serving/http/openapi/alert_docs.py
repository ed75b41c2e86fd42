"""The OpenAPI texts and examples of the routes of alerts and silences."""

from __future__ import annotations

from typing import Any

from leads.db.monitoring.alerts import alert_not_found
from leads.db.monitoring.silences import silence_not_found
from leads.errors import AccessDenied, Conflict, InvalidInput
from leads_client.schemas.alerts import (
    AcknowledgeIn,
    AlertDetail,
    AlertOut,
    AlertsOut,
    SilenceIn,
    SilenceOut,
    SilencesOut,
)
from serving.http.openapi import problem_examples as problems
from serving.http.openapi import tags
from serving.http.openapi.documented import RouteDocs

# Where a page that ends with the alert below ends.
ALERTS_CURSOR = "WyJhMSIsMTdd"
_AT, _LATER = "2026-03-01T12:05:00Z", "2026-03-01T16:00:00Z"
_ALERT = {
    "id": "17",
    "rule": "inputs_missing",
    "harm": "spam",
    "slice": {"column": "account.plays_24h"},
    "version": "3",
    "severity": "page",
    "state": "firing",
    "title": "An input of spam is missing more often than in training: account.plays_24h",
    "moved": "inputs.missing is 0.93 (at least 0.91); the limit is 0.2. It was 0.01 before.",
    "metric": "inputs.missing",
    "value": 0.93,
    "lo": 0.91,
    "hi": 0.95,
    "limit": 0.2,
    "since": "2026-03-01T11:00:00Z",
    "openedAt": _AT,
    "seenAt": _AT,
    "resolvedAt": None,
    "acknowledgedBy": None,
    "acknowledgedAt": None,
    "note": None,
    "todo": "Check the feed behind this feature, and the online store: leads status.",
    "runbook": "docs/runbook/inputs-missing.md",
}
_SILENCE = {
    "id": "4",
    "rule": "inputs_missing",
    "harm": "spam",
    "until": _LATER,
    "by": "ml-team",
    "why": "The feed is being moved.",
    "createdAt": _AT,
    "endedAt": None,
    "active": True,
}
REQUESTS: dict[type, dict[str, Any]] = {
    AcknowledgeIn: {"With a note": {"note": "The feed of plays stopped; its owner knows."}, "Without": {}},
    SilenceIn: {
        "A rule, for a harm": {
            "rule": "inputs_missing", "harm": "spam", "until": _LATER, "why": "The feed is being moved.",
        },
        "Everything": {"rule": "*", "until": _LATER, "why": "Load test."},
    },
}  # fmt: skip
RESPONSES: dict[type, dict[str, Any]] = {
    AlertsOut: {"One alert": {"alerts": [_ALERT], "nextCursor": None}},
    AlertDetail: {
        "An input that is missing": {
            "alert": _ALERT,
            "windowSince": "2026-03-01T11:00:00Z",
            "windowUntil": "2026-03-01T12:00:00Z",
            "n": 812,
            "method": "wilson",
            "before": 0.01,
            "slices": [{"slice": {"column": "account.skips_24h"}, "value": 0.93, "deviation": 0.71}],
            "also": [{"at": "2026-03-01T11:00:00Z", "what": "Hardly any events arrive: kind play, source mobile"}],
            "affected": {"openLeads": 41, "decided": 12, "query": "/v1/leads?harm=spam&state=open"},
            "retraining": None,
        }
    },
    AlertOut: {"Acknowledged": {**_ALERT, "state": "acknowledged", "acknowledgedBy": "ml-team", "acknowledgedAt": _AT}},
    SilencesOut: {"One silence": {"silences": [_SILENCE]}},
    SilenceOut: {"A silence": _SILENCE},
}
_NOT_ALL_HARMS = AccessDenied("This key can't silence all harms.", field="/harm", remedy="Name one of: spam.")
_RESOLVED = Conflict("This alert is resolved already.", remedy="Nothing is left to do.")
_TOO_LONG = InvalidInput(
    "A silence must end in the future, and within 90 days.",
    field="/until",
    remedy="If an alert is wrong for good, change its limit or switch it off in policies.yaml.",
)

ROUTES = {
    "GET /monitoring/alerts": RouteDocs(
        "listAlerts",
        tags.MONITORING,
        "List alerts",
        "Newest first. An alert is a measured value beyond the limit of a rule; it resolves by itself. A key that is "
        "limited to some harms gets their alerts alone, without those about the whole platform.",
        "monitoring:read",
        AlertsOut,
        parameters=True,
        problems=(
            problems.harm_not_found("/harm"),
            problems.harm_not_allowed("/harm"),
            problems.INVALID_CURSOR,
        ),
    ),
    "GET /monitoring/alerts/{alert_id}": RouteDocs(
        "getAlert",
        tags.MONITORING,
        "Get an alert and its explanation",
        "What moved and by how much, since when, in which slices; which leads it affects; what else happened around "
        "that time; and what came of a retraining that it started.",
        "monitoring:read",
        AlertDetail,
        parameters=True,
        problems=(alert_not_found(),),
    ),
    "POST /monitoring/alerts/{alert_id}/acknowledge": RouteDocs(
        "acknowledgeAlert",
        tags.MONITORING,
        "Say that you look after an alert",
        "Nothing more is sent about it. It stays open until its value returns to within the limit. Acknowledging it "
        "again changes only the note.",
        "monitoring:write",
        AlertOut,
        AcknowledgeIn,
        writes=True,
        parameters=True,
        problems=(alert_not_found(), _RESOLVED),
    ),
    "GET /monitoring/silences": RouteDocs(
        "listSilences",
        tags.MONITORING,
        "List silences",
        "The newest 200, also those that have ended.",
        "monitoring:read",
        SilencesOut,
    ),
    "POST /monitoring/silences": RouteDocs(
        "silenceRule",
        tags.MONITORING,
        "Silence a rule",
        "Its alerts are recorded but not sent until the silence ends. Those that are open then are sent.",
        "monitoring:write",
        SilenceOut,
        SilenceIn,
        writes=True,
        problems=(
            problems.missing_field("why"),
            _TOO_LONG,
            problems.harm_not_found("/harm"),
            problems.harm_not_allowed("/harm"),
            _NOT_ALL_HARMS,
        ),
    ),
    "DELETE /monitoring/silences/{silence_id}": RouteDocs(
        "endSilence",
        tags.MONITORING,
        "End a silence",
        "One that has ended stays as it is.",
        "monitoring:write",
        SilenceOut,
        writes=True,
        parameters=True,
        problems=(silence_not_found(),),
    ),
}

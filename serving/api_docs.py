"""What OpenAPI says of a route: schemas without references, examples, the scope it needs, the problems it answers."""

from __future__ import annotations

from typing import Any

from leads import wire
from leads.wire import schema
from leads.wire_scores import ScoreIn
from serving.problems import MEDIA_TYPE

_SUBJECT = {
    "id": "c-81",
    "typeId": "comment",
    "data": {"text": "Great tune!", "accountId": "a-7", "parent": {"id": "t-3", "typeId": "track"}},
}
_REF = {"id": "c-81", "typeId": "comment"}
_DECISION = {"verdict": "violating", "reviewer": "rev-12", "reason": "Sells followers."}
_EXAMPLES: dict[type, dict[str, Any]] = {
    ScoreIn: {"subjects": [_REF], "harms": ["spam"], "reasons": True},
    wire.ItemsIn: {"items": [{**_SUBJECT, "occurredAt": "2026-03-01T12:00:00Z"}]},
    wire.SignalsIn: {
        "signals": [{"subject": _REF, "kind": "user_report", "source": "app", "harm": "spam", "reporterId": "a-9"}]
    },
    wire.PlaysIn: {"plays": [{"subject": {"id": "t-3", "typeId": "track"}, "accountId": "a-7", "seconds": 31.5}]},
    wire.ClaimIn: {"reviewer": "rev-12", "n": 5, "harms": ["spam"]},
    wire.ReleaseIn: {"reviewer": "rev-12"},
    wire.DecisionIn: _DECISION,
    wire.SubjectDecisionIn: {**_DECISION, "subject": _REF, "harm": "spam"},
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "request_id": {"type": "string"},
    },
}
_PROBLEMS = {
    401: "No valid key",
    403: "The key doesn't allow that",
    404: "It doesn't exist",
    409: "The current state forbids it",
    413: "Too large",
    415: "Not JSON",
    422: "Not valid",
    503: "A part doesn't answer",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request sent again with the same key is done once and answered alike, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def describe(
    summary: str,
    scope: str | None,
    *,
    answer: type,
    body: type | None = None,
    status: int = 200,
    creates: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for a FastAPI route decorator."""
    extra: dict[str, Any] = {}
    if body is not None:
        content = {"schema": schema(body), "example": _EXAMPLES[body]}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    if creates:
        extra["parameters"] = [_IDEMPOTENCY_KEY]
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}} for code, text in _PROBLEMS.items()
    }
    responses[status] = {
        "description": "Done" if status == 200 else "Durable",
        "content": {"application/json": {"schema": schema(answer)}},
    }
    return {
        "summary": summary,
        "description": f"Needs a key with the scope `{scope}`." if scope else "Needs any key.",
        "status_code": status,
        "response_model": None,
        "responses": responses,
        "openapi_extra": extra,
    }

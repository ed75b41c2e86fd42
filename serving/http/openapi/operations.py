"""What OpenAPI says of a route: schemas without references, examples, the scope it needs, the problems it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leads.api.json_schema import schema
from leads_client.schemas.scores import ScoreIn
from serving.http.openapi.examples import REQUESTS, RESPONSES
from serving.http.openapi.problem_examples import responses
from serving.http.openapi.route_docs import ROUTES

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request sent again with the same key is done once and answered alike, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "0b0f8c5e-5a0e-4a53-9d5c-3c1c4a8f0f1e",
}
_REPLAYED = {"description": "`true` when it was done by an earlier request.", "schema": {"type": "string"}}


def describe(route: str) -> dict[str, Any]:
    """Keyword arguments for the FastAPI decorator of a route, named as `POST /score`."""
    docs = ROUTES[route]
    extra: dict[str, Any] = {}
    if docs.body is not None:
        content = {"schema": schema(docs.body), "examples": _named(REQUESTS[docs.body])}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    if docs.writes:
        extra["parameters"] = [_IDEMPOTENCY_KEY]
    answers = responses(
        docs.scope,
        docs.problems,
        takes_body=docs.body is not None,
        writes=docs.writes,
        takes_parameters=docs.parameters,
    )
    answers[docs.status] = {
        "description": "Done" if docs.status == 200 else "Durable",
        "content": {
            "application/json": {"schema": schema(docs.response), "examples": _named(RESPONSES[docs.response])}
        },
    }
    if docs.writes:
        answers[docs.status]["headers"] = {"Idempotency-Replayed": _REPLAYED}
    needs = f"Needs a key with the scope `{docs.scope}`." if docs.scope else "Needs any key."
    return {
        "summary": docs.summary,
        "description": f"{docs.description}\n\n{needs}",
        "status_code": docs.status,
        "response_model": None,
        "responses": answers,
        "openapi_extra": extra,
    }


def with_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """The document with answers' examples as they are: FastAPI leaves every null out of what it writes."""
    for route, docs in ROUTES.items():
        method, path = route.split()
        answer = document["paths"][path][method.lower()]["responses"][str(docs.status)]
        answer["content"]["application/json"]["examples"] = _named(RESPONSES[docs.response])
    return document


def native(field: str) -> dict[str, Any]:
    """Keyword arguments for a pydantic field of BentoML's own `score`, whose document knows `example` alone."""
    both = REQUESTS[ScoreIn]["Both: given fields override stored ones"]
    about = {
        "subjects": "At most 1,000, each by id, with text and fields, or both.",
        "harms": "Default: every harm that applies, has a model, and that the key is for.",
        "reasons": "Whether to explain scores.",
    }
    return {"description": about[field], "json_schema_extra": {"example": both.get(field, True)}}


def parameter(description: str, example: object) -> dict[str, Any]:
    """Keyword arguments for a FastAPI parameter."""
    return {"description": description, "openapi_examples": {"One": {"value": example}}}


def _named(examples: Mapping[str, object]) -> dict[str, Any]:
    return {name: {"summary": name, "value": value} for name, value in examples.items()}

"""The OpenAPI description of a route: named schemas, examples, the required scope, and possible problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leads_client.schemas.scores import ScoreIn
from serving.http.openapi.documented import RouteDocs
from serving.http.openapi.examples import REQUESTS, RESPONSES
from serving.http.openapi.problem_examples import responses
from serving.http.openapi.route_docs import ROUTES
from serving.http.openapi.schemas import ref

# Parameters that several routes have, by name.
PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "For a day, the same request with the same key takes effect once and gets the same response.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "0b0f8c5e-5a0e-4a53-9d5c-3c1c4a8f0f1e",
    }
}
_REPLAYED = {
    "description": "`true` if an earlier request with this key was carried out and this is its response.",
    "schema": {"type": "string"},
}


def describe(route: str) -> dict[str, Any]:
    """Keyword arguments for a route's FastAPI decorator. `route` is a key of `ROUTES`, for example `POST /score`."""
    docs = ROUTES[route]
    extra: dict[str, Any] = {}
    if docs.body is not None:
        content = {"schema": ref(docs.body.__name__), "examples": _named(REQUESTS[docs.body])}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    if docs.writes:
        extra["parameters"] = [{"$ref": "#/components/parameters/IdempotencyKey"}]
    found = responses(
        docs.scope,
        docs.problems,
        takes_body=docs.body is not None,
        writes=docs.writes,
        takes_parameters=docs.parameters,
    )
    found[docs.status] = {
        "description": "Success" if docs.status == 200 else "Stored durably",
        "content": {"application/json": {"schema": ref(docs.response.__name__), "examples": response_examples(docs)}},
    }
    if docs.writes:
        found[docs.status]["headers"] = {"Idempotency-Replayed": _REPLAYED}
    needs = f"the scope `{docs.scope}`" if docs.scope else "any scope but `metrics`"
    return {
        "operation_id": docs.id,
        "tags": [docs.tag],
        "summary": docs.summary,
        "description": f"{docs.description}\n\nRequires a key with {needs}.",
        "status_code": docs.status,
        "response_model": None,
        "responses": found,
        "openapi_extra": extra,
    }


def response_examples(docs: RouteDocs) -> dict[str, Any]:
    """The examples of a route's response."""
    return _named(RESPONSES[docs.response])


def native(field: str) -> dict[str, Any]:
    """Keyword arguments for a pydantic field of BentoML's native `score`. Its OpenAPI supports only `example`."""
    both = REQUESTS[ScoreIn]["Both: sent fields override stored ones"]
    descriptions = {
        "subjects": "At most 1,000 subjects, each by id, with its data, or both.",
        "harms": "By default every harm that applies, has a model, and is allowed for the key.",
        "reasons": "Whether to explain the scores.",
    }
    return {"description": descriptions[field], "json_schema_extra": {"example": both.get(field, True)}}


def parameter(description: str, example: object) -> dict[str, Any]:
    """Keyword arguments for a FastAPI parameter."""
    return {"description": description, "openapi_examples": {"Example": {"value": example}}}


def _named(examples: Mapping[str, object]) -> dict[str, Any]:
    return {name: {"summary": name, "value": value} for name, value in examples.items()}

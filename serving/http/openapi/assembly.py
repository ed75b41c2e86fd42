"""Puts the OpenAPI documents together: the API's at `/v1/openapi.json`, and that of all routes at `/docs.json`."""

from __future__ import annotations

from typing import Any

from leads.api.declared import Declared
from leads_client.version import VERSION
from serving.http.health import Health
from serving.http.openapi import tags
from serving.http.openapi.introduction import INTRODUCTION
from serving.http.openapi.item_types import with_types
from serving.http.openapi.operations import PARAMETERS, response_examples
from serving.http.openapi.problem_examples import SCHEMAS
from serving.http.openapi.route_docs import ROUTES
from serving.http.openapi.schemas import Schema, choices, named_schemas, ref, with_named_choices

Document = dict[str, Any]
_OPENAPI = "3.1.0"
_KEY, _BEARER = "key", "bearer"
_SECURITY: list[dict[str, list[str]]] = [{_KEY: []}, {_BEARER: []}]
_NO_KEY: list[dict[str, list[str]]] = []
_SECURITY_SCHEMES = {
    _KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key from `leads keys create`."},
    _BEARER: {"type": "http", "scheme": "bearer", "description": "The same key, as a bearer token."},
}
_REQUEST_ID = {"$ref": "#/components/headers/RequestId"}
_HEADERS = {"RequestId": {"description": "Identifies the request in the service's log.", "schema": {"type": "string"}}}
_SERVER = "The server that sent this document. Generated clients need its whole address, such as https://…/v1."
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def api_document(found: Document, declared: Declared, root: str) -> Document:
    """The document of the API.

    Args:
        found: FastAPI's document of the app, from which the paths are taken.
        root: the path that the app is mounted at.
    """
    paths = {
        path: {method: _completed(f"{method.upper()} {path}", one) for method, one in item.items()}
        for path, item in found["paths"].items()
    }
    return {
        "openapi": _OPENAPI,
        "info": {
            "title": "Lead Serving",
            "summary": "Scores, explains and ranks what may violate a platform's policies, and serves it to reviewers.",
            "description": INTRODUCTION,
            "version": VERSION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root or "/", "description": _SERVER}],
        "tags": tags.described(
            tags.SCORING, tags.EVENTS, tags.QUEUE, tags.REVIEWS, tags.MODELS, tags.MONITORING, tags.PLATFORM
        ),
        "security": _SECURITY,
        "paths": paths,
        "components": {
            "schemas": _schemas(declared),
            "parameters": PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def whole_document(api: Document, root: str) -> Document:
    """The document of all routes: the API's, BentoML's native route, health and metrics.

    Args:
        api: the document of the API.
        root: the path that the API is mounted at.
    """
    native = {
        **api["paths"]["/score"]["post"],
        "operationId": "scoreNatively",
        "summary": "Score subjects under harms, by BentoML's native route",
        "description": f"The same as `POST {root}/score`, for BentoML's clients. They send the key as `token`.\n\n"
        "Requires a key with the scope `score`.",
        "x-bentoml-name": "score",
    }
    schemas = {**api["components"]["schemas"], **named_schemas([Health])}
    return {
        **api,
        "servers": [{"url": ".", "description": "The server that sent this document."}],
        "tags": [*api["tags"], *tags.described(tags.HEALTH)],
        "paths": {
            **{f"{root}{path}": item for path, item in api["paths"].items()},
            "/score": {"post": native},
            **_service_paths(),
        },
        "components": {**api["components"], "schemas": dict(sorted(schemas.items()))},
    }


def _schemas(declared: Declared) -> dict[str, Schema]:
    structs = [struct for docs in ROUTES.values() for struct in (docs.body, docs.response) if struct is not None]
    found = with_types({**named_schemas(structs), **choices(), **SCHEMAS}, declared)
    return dict(sorted(found.items()))


def _completed(route: str, operation: Document) -> Document:
    """An operation with what FastAPI can't say, or says about itself instead of the API."""
    responses: dict[str, Document] = {
        status: {**response, "headers": {**response.get("headers", {}), "X-Request-Id": _REQUEST_ID}}
        for status, response in sorted(operation["responses"].items())
    }
    # FastAPI drops every null from the document.
    content = responses[str(ROUTES[route].status)]["content"]["application/json"]
    content["examples"] = response_examples(ROUTES[route])
    completed = {**operation, "security": _SECURITY, "responses": responses}
    if "parameters" in operation:
        completed["parameters"] = [_parameter(one) for one in operation["parameters"]]
    return completed


def _parameter(parameter: Document) -> Document:
    """A parameter without the title that FastAPI makes up, and without null, which no URL can contain."""
    if "schema" not in parameter:
        return parameter
    schema = {key: part for key, part in parameter["schema"].items() if key not in ("title", "description")}
    match [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]:
        case [single]:
            schema |= single
        case [_, *_] as several:
            schema["anyOf"] = several
    return {**parameter, "schema": with_named_choices(schema)}


def _service_paths() -> dict[str, Document]:
    """The routes beside the API."""
    health = {"application/json": {"schema": ref(Health.__name__)}}
    return {
        "/livez": _get("getLiveness", "Whether the process runs", {"200": ("It does", _TEXT)}, _NO_KEY),
        "/healthz": _get("getHealth", "The same as /livez", {"200": ("The process runs", _TEXT)}, _NO_KEY),
        "/readyz": _get(
            "getReadiness",
            "Whether requests can be handled: every published champion is loaded",
            {"200": ("Ready", health), "503": ("Not ready", health)},
            _NO_KEY,
        ),
        "/metrics": _get("getMetrics", "Metrics for Prometheus", {"200": ("The metrics", _TEXT)}, _SECURITY),
    }


def _get(id: str, summary: str, responses: dict[str, tuple[str, Document]], security: object) -> Document:
    return {
        "get": {
            "operationId": id,
            "tags": [tags.HEALTH],
            "summary": summary,
            "security": security,
            "responses": {
                status: {"description": about, "content": content} for status, (about, content) in responses.items()
            },
        }
    }

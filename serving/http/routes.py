"""The REST routes, mounted at `/v1`. They only parse requests and convert results; other modules do the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.engine import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from leads.api.declared import Declared
from leads.api.requests import parse, parse_batch, parse_scoring
from leads.errors import LeadsError
from leads.events import Subject
from leads.messages import patterns
from leads.messages.patterns import pydantic_message
from leads_client.schemas.events import EventIn, EventsIn, ItemIn, ItemsIn, PlayIn, PlaysIn, SignalIn, SignalsIn
from leads_client.schemas.leads import ClaimIn, DecisionIn, ExtendIn, ReleaseIn, StateFilter, SubjectDecisionIn
from leads_client.version import VERSION
from serving.http import intake, lead_requests, problems
from serving.http.access.authentication import key_of
from serving.http.access.harms import shows
from serving.http.idempotency import IdempotencyKey, answer_once
from serving.http.middleware import BODY, REQUEST_ID
from serving.http.monitoring.alert_routes import add_alerts
from serving.http.monitoring.routes import add_measured
from serving.http.openapi.assembly import api_document
from serving.http.openapi.documents import serve_once_made
from serving.http.openapi.examples import CURSOR, LEAD_ID
from serving.http.openapi.item_types import types_out
from serving.http.openapi.operations import describe, parameter
from serving.http.parameters import check_parameters
from serving.http.responses import as_json
from serving.http.score_request import NothingScored, score
from serving.http.serializers import harms_out, models_out
from serving.runtime import Runtime

LeadId = Annotated[str, Path(**parameter("The `id` of a lead, from GET /v1/leads or POST /v1/leads/claim.", LEAD_ID))]


class DirectRoute:
    """An ASGI app of one route, without dispatch and dependencies.

    LeadsErrors reach the middleware, which turns them into the same problem documents as the API's own handlers.

    Args:
        path: of the route, without that of the mount.
    """

    def __init__(self, route: BaseRoute, path: str, handle: Callable[[Request], Awaitable[Response]]) -> None:
        self._route = route
        self._path = path
        self._handle = handle

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope["route"], scope["root_path"] = self._route, scope["path"].removesuffix(self._path)
        request = Request(scope, receive)
        await check_parameters(request)
        await (await self._handle(request))(scope, receive, send)


class Api(FastAPI):
    """FastAPI with direct dispatch for the most frequent routes, whose time FastAPI's own dispatch would double.

    `direct`: these routes, by method and path.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.direct: dict[tuple[str, str], DirectRoute] = {}

    def document(self, declared: Declared, root: str) -> dict[str, Any]:
        """The OpenAPI document of this app when it is mounted at `root`."""
        return api_document(self.openapi(), declared, root)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        root: str = scope.get("root_path", "")
        direct = self.direct.get((scope.get("method", ""), scope.get("path", "").removeprefix(root)))
        await (super().__call__ if direct is None else direct)(scope, receive, send)


def create_app(runtime: Callable[[], Runtime]) -> Api:
    """Create the app. `runtime` returns the runtime; it is called per request, after start-up."""
    app = Api(title="Lead Serving", version=VERSION, openapi_url=None, dependencies=[Depends(check_parameters)])

    def document(root: str) -> dict[str, Any]:
        return app.document(runtime().declared, root)

    app.add_route("/openapi.json", serve_once_made(document, runtime), include_in_schema=False)
    app.add_exception_handler(LeadsError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http)
    _add_scoring(app, runtime)
    _add_intake(app, runtime)
    _add_queue(app, runtime)
    _add_decisions(app, runtime)
    add_measured(app, runtime)
    add_alerts(app, runtime)
    return app


def _add_scoring(app: Api, runtime: Callable[[], Runtime]) -> None:
    @app.post("/score", **describe("POST /score"))
    async def post_score(request: Request) -> Response:
        # The middleware has read the body already, and Starlette takes longer to give it.
        key, raw = key_of(request, "score"), request.scope[BODY]
        found = await score(runtime(), key, parse_scoring(raw), len(raw))
        if isinstance(found, NothingScored):
            return problems.from_errors(found.first, found.errors, request.scope[REQUEST_ID])
        return as_json(found)

    app.direct["POST", "/score"] = DirectRoute(app.router.routes[-1], "/score", post_score)

    @app.get("/models", **describe("GET /models"))
    async def get_models(request: Request) -> Response:
        key, published = key_of(request, None), runtime().published
        served = [x for x in published.status() if shows(key, x.harm)]
        return as_json(models_out(served, published.checked_at, str(runtime().settings.root)))

    @app.get("/harms", **describe("GET /harms"))
    async def get_harms(request: Request) -> Response:
        key, parts = key_of(request, None), runtime()
        visible = {name: harm for name, harm in parts.policies.harms.items() if shows(key, name)}
        return as_json(harms_out(visible, parts.published.lineup().champions))

    @app.get("/types", **describe("GET /types"))
    async def get_types(request: Request) -> Response:
        key_of(request, None)
        return as_json(types_out(runtime().declared))


def _add_intake(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    def route(path: str, type_: type[intake.Batch], entry: type[ItemIn | SignalIn | PlayIn | EventIn]) -> None:
        async def post(request: Request) -> Response:
            key, parts = key_of(request, "events:write"), runtime()
            rules = intake.Rules(key, parts.policies, parts.declared, parts.clock())
            body = parse_batch(await request.body(), type_, path[1:], entry, rules.event)

            def work(connection: Connection, idempotency_key: IdempotencyKey | None) -> msgspec.Struct:
                events = intake.events_of(body, rules, idempotency_key)
                return intake.accept(connection, body, events, key.sender, parts.clock)

            return await answer_once(request, parts, work, status=202)

        app.add_api_route(path, post, methods=["POST"], name=f"post_{path[1:]}", **describe(f"POST {path}"))

    route("/items", ItemsIn, ItemIn)
    route("/signals", SignalsIn, SignalIn)
    route("/plays", PlaysIn, PlayIn)
    route("/events", EventsIn, EventIn)


def _add_queue(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    @app.get("/leads", **describe("GET /leads"))
    async def get_leads(
        request: Request,
        harm: Annotated[list[str] | None, Query(**parameter("Only these harms.", ["spam"]))] = None,
        state: Annotated[StateFilter, Query(**parameter("Only leads in this state.", "open"))] = "open",
        type_id: Annotated[
            str | None,
            Query(alias="typeId", pattern=patterns.NAME, **parameter("Only subjects of this type.", "comment")),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, **parameter("Maximum number of leads.", 20))] = 50,
        cursor: Annotated[
            str | None, Query(max_length=512, **parameter("`nextCursor` of the previous page, unchanged.", CURSOR))
        ] = None,
    ) -> Response:
        filter_ = lead_requests.LeadFilter(tuple(harm) if harm else None, state, type_id, limit, cursor)
        return as_json(await runtime().run(lead_requests.list_leads, runtime(), key_of(request, "leads:read"), filter_))

    # Before the route of one lead, whose id could be `stats`.
    @app.get("/leads/stats", **describe("GET /leads/stats"))
    async def get_stats(request: Request) -> Response:
        return as_json(await runtime().run(lead_requests.queue_stats, runtime(), key_of(request, "leads:read")))

    @app.post("/leads/claim", **describe("POST /leads/claim"))
    async def post_claim(request: Request) -> Response:
        key, body = key_of(request, "leads:decide"), parse(await request.body(), ClaimIn)
        return await answer_once(request, runtime(), lambda c, _: lead_requests.claim_leads(c, runtime(), key, body))

    @app.get("/reviews", **describe("GET /reviews"))
    async def get_reviews(
        request: Request,
        reviewer: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=256,
                pattern=patterns.REVIEWER,
                **parameter("Whose. Default: the key's own reviewer.", "rev-12"),
            ),
        ] = None,
    ) -> Response:
        key = key_of(request, "leads:decide")
        return as_json(await runtime().run(lead_requests.held_leads, runtime(), key, reviewer))

    @app.get("/leads/{lead_id}", **describe("GET /leads/{lead_id}"))
    async def get_lead(request: Request, lead_id: LeadId) -> Response:
        return as_json(await runtime().run(lead_requests.show_lead, runtime(), key_of(request, "leads:read"), lead_id))

    @app.get("/leads/{lead_id}/audit", **describe("GET /leads/{lead_id}/audit"))
    async def get_audit(request: Request, lead_id: LeadId) -> Response:
        return as_json(
            await runtime().run(lead_requests.audit_trail, runtime(), key_of(request, "leads:read"), lead_id)
        )


def _add_decisions(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    @app.post("/leads/{lead_id}/release", **describe("POST /leads/{lead_id}/release"))
    async def post_release(request: Request, lead_id: LeadId) -> Response:
        key, body = key_of(request, "leads:decide"), parse(await request.body(), ReleaseIn)
        return await answer_once(
            request, runtime(), lambda c, _: lead_requests.release_lead(c, runtime(), key, lead_id, body)
        )

    @app.post("/leads/{lead_id}/extend", **describe("POST /leads/{lead_id}/extend"))
    async def post_extend(request: Request, lead_id: LeadId) -> Response:
        key, body = key_of(request, "leads:decide"), parse(await request.body(), ExtendIn)
        return await answer_once(
            request, runtime(), lambda c, _: lead_requests.extend_lease(c, runtime(), key, lead_id, body)
        )

    @app.post("/leads/{lead_id}/decision", **describe("POST /leads/{lead_id}/decision"))
    async def post_decision(request: Request, lead_id: LeadId) -> Response:
        key, body = key_of(request, "leads:decide"), parse(await request.body(), DecisionIn)
        return await answer_once(
            request, runtime(), lambda c, _: lead_requests.decide_lead(c, runtime(), key, lead_id, body)
        )

    @app.post("/decisions", **describe("POST /decisions"))
    async def post_decisions(request: Request) -> Response:
        key, body = key_of(request, "leads:decide"), parse(await request.body(), SubjectDecisionIn)
        subject = Subject(body.subject.type_id, body.subject.id)
        return await answer_once(
            request, runtime(), lambda c, _: lead_requests.decide_subject(c, runtime(), key, subject, body)
        )


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LeadsError)
    return problems.from_error(error, request.scope[REQUEST_ID])


def _on_bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found: list[dict[str, Any]] = list(error.errors())
    errors = [problems.Detail("/" + "/".join(map(str, x["loc"][1:])), pydantic_message(x)) for x in found]
    text = "A parameter is invalid."
    return problems.from_status(422, request.scope[REQUEST_ID], detail=text, errors=errors)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = problems.from_status(error.status_code, request.scope[REQUEST_ID])
    response.headers.update(error.headers or {})
    return response

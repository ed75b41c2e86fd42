"""The routes of alerts and silences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from starlette.responses import Response

from leads.api.requests import parse
from leads.messages import patterns
from leads_client.schemas.alerts import AcknowledgeIn, AlertFilter, AlertsOut, SilenceIn
from serving.http.access.authentication import key_of
from serving.http.idempotency import answer_once
from serving.http.monitoring import alerts
from serving.http.openapi.alert_docs import ALERTS_CURSOR
from serving.http.openapi.operations import describe, parameter
from serving.http.responses import as_json
from serving.runtime import Runtime

AlertId = Annotated[str, Path(**parameter("The `id` of an alert.", "17"))]
SilenceId = Annotated[str, Path(**parameter("The `id` of a silence.", "4"))]


def add_alerts(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    """Add the routes to the app."""
    _add_reads(app, runtime)
    _add_writes(app, runtime)


def _add_reads(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    @app.get("/monitoring/alerts", **describe("GET /monitoring/alerts"))
    async def get_alerts(
        request: Request,
        harm: Annotated[list[str] | None, Query(**parameter("Only these harms.", ["spam"]))] = None,
        state: Annotated[AlertFilter, Query(**parameter("Only alerts in this state.", "open"))] = "open",
        rule: Annotated[
            str | None, Query(pattern=patterns.NAME, **parameter("Only alerts of this rule.", "inputs_missing"))
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, **parameter("Maximum number of alerts.", 20))] = 50,
        cursor: Annotated[
            str | None,
            Query(max_length=512, **parameter("`nextCursor` of the previous page, unchanged.", ALERTS_CURSOR)),
        ] = None,
    ) -> Response:
        key, parts = key_of(request, "monitoring:read"), runtime()

        def work() -> AlertsOut:
            return alerts.list_alerts(
                parts, key, harms=harm or None, state=state, rule=rule, limit=limit, cursor=cursor
            )

        return as_json(await parts.run(work))

    @app.get("/monitoring/alerts/{alert_id}", **describe("GET /monitoring/alerts/{alert_id}"))
    async def get_alert(request: Request, alert_id: AlertId) -> Response:
        key = key_of(request, "monitoring:read")
        return as_json(await runtime().run(alerts.show_alert, runtime(), key, alert_id))

    @app.get("/monitoring/silences", **describe("GET /monitoring/silences"))
    async def get_silences(request: Request) -> Response:
        key = key_of(request, "monitoring:read")
        return as_json(await runtime().run(alerts.list_silences, runtime(), key))


def _add_writes(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    @app.post("/monitoring/alerts/{alert_id}/acknowledge", **describe("POST /monitoring/alerts/{alert_id}/acknowledge"))
    async def post_acknowledge(request: Request, alert_id: AlertId) -> Response:
        key, body = key_of(request, "monitoring:write"), parse(await request.body(), AcknowledgeIn)
        return await answer_once(request, runtime(), lambda c, _: alerts.acknowledge(c, runtime(), key, alert_id, body))

    @app.post("/monitoring/silences", **describe("POST /monitoring/silences"))
    async def post_silence(request: Request) -> Response:
        key, body = key_of(request, "monitoring:write"), parse(await request.body(), SilenceIn)
        return await answer_once(request, runtime(), lambda c, _: alerts.add_silence(c, runtime(), key, body))

    @app.delete("/monitoring/silences/{silence_id}", **describe("DELETE /monitoring/silences/{silence_id}"))
    async def delete_silence(request: Request, silence_id: SilenceId) -> Response:
        key = key_of(request, "monitoring:write")
        return await answer_once(request, runtime(), lambda c, _: alerts.end_silence(c, runtime(), key, silence_id))

"""The routes of what monitoring measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from leads.messages import patterns
from serving.http.access.authentication import key_of
from serving.http.monitoring import measured
from serving.http.monitoring.measured import MetricsRequest
from serving.http.openapi.measured_examples import METRICS_CURSOR
from serving.http.openapi.operations import describe, parameter
from serving.http.responses import as_json
from serving.runtime import Runtime

_TIME = "RFC 3339 with an offset. Only windows that end {} this time."


def add_measured(app: FastAPI, runtime: Callable[[], Runtime]) -> None:
    """Add the routes to the app."""

    @app.get("/monitoring/metrics", **describe("GET /monitoring/metrics"))
    async def get_metrics(
        request: Request,
        harm: Annotated[list[str] | None, Query(**parameter("Only these harms.", ["spam"]))] = None,
        name: Annotated[
            list[Annotated[str, Query(pattern=patterns.METRIC)]] | None,
            Query(**parameter("Only these metrics.", ["performance.precision"])),
        ] = None,
        slice_: Annotated[
            str | None,
            Query(
                alias="slice",
                max_length=1_000,
                pattern=patterns.NO_CONTROLS,
                **parameter(
                    "Only this slice: `name=value`, several joined with `;`, in the order of their names. Empty: only "
                    "values of everything.",
                    "against=reference;column=account.plays_24h",
                ),
            ),
        ] = None,
        since: Annotated[
            str | None, Query(max_length=64, **parameter(_TIME.format("after"), "2026-03-01T00:00:00Z"))
        ] = None,
        until: Annotated[
            str | None, Query(max_length=64, **parameter(_TIME.format("by"), "2026-03-02T00:00:00Z"))
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000, **parameter("Maximum number of values.", 100))] = 100,
        cursor: Annotated[
            str | None,
            Query(max_length=2_048, **parameter("`nextCursor` of the previous page, unchanged.", METRICS_CURSOR)),
        ] = None,
    ) -> Response:
        wanted = MetricsRequest(harm or None, name or None, slice_, since, until, limit, cursor)
        key = key_of(request, "monitoring:read")
        return as_json(await runtime().run(measured.list_metrics, runtime(), key, wanted))

    @app.get("/monitoring/runs", **describe("GET /monitoring/runs"))
    async def get_runs(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200, **parameter("Maximum number of runs.", 20))] = 20,
    ) -> Response:
        key = key_of(request, "monitoring:read")
        return as_json(await runtime().run(measured.list_runs, runtime(), key, limit))

    @app.get("/monitoring/summary", **describe("GET /monitoring/summary"))
    async def get_summary(request: Request) -> Response:
        key = key_of(request, "monitoring:read")
        return as_json(await runtime().run(measured.summary, runtime(), key))

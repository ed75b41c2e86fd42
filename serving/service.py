"""The BentoML service: REST routes at `/v1`, a native `score`, health, metrics.

bentoml serve serving.service:LeadServing
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any, cast

import bentoml
import msgspec
from pydantic import Field
from starlette.responses import Response

from leads.api.requests import ScoringRequest, parse_scoring
from leads.errors import LeadsError, Unavailable
from leads.files import keep_private
from leads.processes import die_with_parent, search_rarely
from leads.settings import load_settings
from serving.http import health, problems
from serving.http.access.authentication import KEY
from serving.http.access.connections import limit_connections
from serving.http.middleware import BODY, CHECKED, REQUEST_ID, ApiMiddleware
from serving.http.openapi.assembly import whole_document
from serving.http.openapi.operations import native
from serving.http.pages import create_pages
from serving.http.routes import create_app
from serving.http.score_request import NothingScored, score
from serving.instance.held import introduce, keep_reporting
from serving.observe import logs
from serving.observe.metrics_updates import keep_monitoring_up_to_date, keep_queue_up_to_date, keep_up_to_date
from serving.runtime import Runtime, open_runtime
from serving.shutdown import drain_on_sigterm
from serving.versions.loading import wait_until_loaded

_TIMEOUT_S = 30
_log = logging.getLogger(__name__)
# Set when the service starts. Mounted apps and middleware are created earlier, so they get it through `runtime`.
_running: list[Runtime] = []
_background: list[asyncio.Task[None]] = []


def runtime() -> Runtime:
    """The runtime of the running service.

    Raises:
        Unavailable: the service has not started yet or has stopped.
    """
    if not _running:
        raise Unavailable("The service is starting or stopping.", remedy="Try again in a second.")
    return _running[-1]


_API, _ROOT = create_app(runtime), "/v1"


# BentoML's metrics would create a label value for every lead's path, its access log duplicates ours, and its spans,
# created even when tracing is off, take longer than all of our middleware.
@bentoml.service(
    name="lead_serving",
    traffic={"timeout": _TIMEOUT_S},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(_API, path=_ROOT, name="v1")
@bentoml.asgi_app(create_pages(runtime, lambda: _document()), path="/", name="pages")
class LeadServing:
    """Scores subjects under harms and manages the queue of leads."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        keep_private()
        # Without the process that started it and restarts it, this one would keep the port and serve on unsupervised.
        die_with_parent()
        settings = load_settings()
        logs.set_up(settings)
        try:
            opened = open_runtime(settings)
        except LeadsError as error:
            # What reports it later leaves out the message.
            _log.error("the API can't start: %s", error)
            raise
        _running.append(opened)
        _background.append(asyncio.create_task(keep_up_to_date(opened)))
        _background.append(asyncio.create_task(keep_queue_up_to_date(opened)))
        _background.append(asyncio.create_task(keep_monitoring_up_to_date(opened)))
        drain_on_sigterm(opened.stopping, settings.drain_s)
        # No connection is accepted before.
        await opened.run(wait_until_loaded, opened.published, settings.published_dir, opened.stopping)
        try:
            await opened.run(introduce, opened.published.status())
        except LeadsError as error:
            _log.error("the API doesn't take over: %s", error)
            await _close()
            raise
        _background.append(asyncio.create_task(keep_reporting(opened)))
        search_rarely()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        await _close()

    def __is_ready__(self) -> bool:
        return bool(_running) and health.is_ready(runtime().published.status())

    @bentoml.api  # type: ignore[untyped-decorator]
    async def score(
        self,
        ctx: bentoml.Context,
        subjects: Annotated[list[dict[str, Any]], Field(**native("subjects"))],
        harms: Annotated[list[str] | None, Field(**native("harms"))] = None,
        reasons: Annotated[bool, Field(**native("reasons"))] = False,
    ) -> dict[str, Any]:
        """Score subjects under harms. Same responses and problem documents as `POST /v1/score`.

        Requires a key with the scope `score`; BentoML's clients send it as their `token`.
        """
        scope = ctx.request.scope
        try:
            # What the API's strict schemas made of the body. BentoML accepts any object as a subject, and numbers that
            # aren't valid.
            body: ScoringRequest = scope[CHECKED]
            found = await score(runtime(), scope[KEY], body, len(scope[BODY]))
        except LeadsError as error:
            return _as_result(ctx, problems.from_error(error, scope[REQUEST_ID]))
        if isinstance(found, NothingScored):
            return _as_result(ctx, problems.from_errors(found.first, found.errors, scope[REQUEST_ID]))
        result: dict[str, Any] = msgspec.to_builtins(found)
        return result


limit_connections()
LeadServing.add_asgi_middleware(  # type: ignore[attr-defined]
    ApiMiddleware,
    runtime=runtime,
    checks={"/score": parse_scoring},
    direct={(method, _ROOT + path): app for (method, path), app in _API.direct.items()},
)


async def _close() -> None:
    while _background:
        _background.pop().cancel()
    if _running:
        stopped = _running.pop()
        stopped.stopping.set()
        await stopped.run(stopped.close)


def _document() -> dict[str, Any]:
    """The OpenAPI document of all routes. BentoML's own has neither the API's schemas nor its problems."""
    return whole_document(_API.document(runtime().declared, _ROOT), _ROOT)


def _as_result(ctx: bentoml.Context, response: Response) -> dict[str, Any]:
    """Return a response through BentoML, which sends it unchanged except for the status, taken from the context.

    The cast is for the API method's return type, which BentoML publishes to its clients.
    """
    ctx.response.status_code = response.status_code
    return cast("dict[str, Any]", response)

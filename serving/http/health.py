"""Liveness and readiness of this process. These routes need no key, so they name neither harms nor versions."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Literal

import msgspec
from starlette.responses import PlainTextResponse, Response

from serving.runtime import Runtime
from serving.versions.serving_status import ServingStatus

Status = Literal["ready", "starting", "not_ready", "stopping"]
READY, ALIVE = "/readyz", frozenset(("/livez", "/healthz"))


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of `/readyz`. `online_store` is `open` while the circuit breaker blocks look-ups."""

    status: Status
    online_store: Literal["ok", "open"] | None = None


def health(runtime: Runtime | None) -> Health:
    """The current health. Without a runtime the service is starting."""
    if runtime is None:
        return Health("starting")
    ready = is_ready(runtime.published.status())
    status: Status = "stopping" if runtime.stopping.is_set() else "ready" if ready else "not_ready"
    return Health(status, "open" if runtime.reader.open else "ok")


def is_ready(served: Iterable[ServingStatus]) -> bool:
    """Whether a champion is published, and every harm with one has a verified version that serves.

    A refused newer version doesn't make the process unready, because the previous version keeps serving.
    """
    serving = [x.serving is not None for x in served if x.published.champion is not None]
    return bool(serving) and all(serving)


def respond(path: str, runtime: Runtime | None) -> Response:
    """Handle a health route: 200, or 503 while not ready."""
    if path in ALIVE:
        return PlainTextResponse("ok\n")
    found = health(runtime)
    status = HTTPStatus.OK if found.status == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(msgspec.json.encode(found), status, media_type="application/json")

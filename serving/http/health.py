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
    """The response of `/readyz`.

    Args:
        online_store: `open` while the circuit breaker blocks look-ups.
        versions: `damaged` while the files of a published version are damaged and not yet fetched again.
    """

    status: Status
    online_store: Literal["ok", "open"] | None = None
    versions: Literal["damaged"] | None = None


def health(runtime: Runtime | None) -> Health:
    """The current health. Without a runtime the service is starting."""
    if runtime is None:
        return Health("starting")
    served = runtime.published.status()
    ready = is_ready(served)
    status: Status = "stopping" if runtime.stopping.is_set() else "ready" if ready else "not_ready"
    damaged = any(one.damaged for one in served)
    return Health(status, "open" if runtime.reader.open else "ok", "damaged" if damaged else None)


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

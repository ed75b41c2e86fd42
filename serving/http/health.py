"""Liveness and readiness of this process. These routes need no key, so they reveal nothing secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
from starlette.responses import PlainTextResponse, Response

from serving.runtime import Runtime
from serving.versions.serving_status import ServingStatus

Status = Literal["ready", "starting", "not_ready", "stopping"]
READY, ALIVE = "/readyz", frozenset(("/livez", "/healthz"))


class HarmHealth(msgspec.Struct, frozen=True):
    """One harm: the version that serves in this process, the one that should, and reasons for refusal by version."""

    serving: str | None
    wanted: str | None
    refused: Mapping[str, str]


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of `/readyz`. `online_store` is `open` while the circuit breaker blocks look-ups."""

    status: Status
    harms: Mapping[str, HarmHealth] = {}
    online_store: Literal["ok", "open"] | None = None


def health(runtime: Runtime | None) -> Health:
    """The current health. Without a runtime the service is starting."""
    if runtime is None:
        return Health("starting")
    served, home = runtime.published.status(), str(runtime.settings.root)
    harms = {x.harm: _harm_health(x, home) for x in served if x.published.champion or x.published.aliases or x.serving}
    status: Status = "stopping" if runtime.stopping.is_set() else "ready" if is_ready(served) else "not_ready"
    return Health(status, harms, "open" if runtime.reader.open else "ok")


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


def _harm_health(served: ServingStatus, home: str) -> HarmHealth:
    wanted = served.published.aliases.get("champion", served.published.champion)
    # Reasons may contain file paths; don't reveal where the service is installed.
    refused = {version: why.replace(home, "…") for version, why in served.refused.items()}
    return HarmHealth(served.serving, wanted, refused)

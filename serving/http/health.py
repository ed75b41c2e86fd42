"""Whether this process can answer, and what of it can't: said to anyone who asks, so nothing secret is in it."""

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
    """Which version of a harm answers here, which one should, and why others don't, by version."""

    serving: str | None
    wanted: str | None
    refused: Mapping[str, str]


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `/readyz`. `online_store` is `open` while the circuit breaker keeps look-ups from it."""

    status: Status
    harms: Mapping[str, HarmHealth] = {}
    online_store: Literal["ok", "open"] | None = None


def health(runtime: Runtime | None) -> Health:
    """As of now; without parts, the service is starting."""
    if runtime is None:
        return Health("starting")
    served, home = runtime.published.status(), str(runtime.settings.root)
    harms = {x.harm: _harm_health(x, home) for x in served if x.published.champion or x.published.aliases or x.serving}
    status: Status = "stopping" if runtime.stopping.is_set() else "ready" if is_ready(served) else "not_ready"
    return Health(status, harms, "open" if runtime.reader.open else "ok")


def is_ready(served: Iterable[ServingStatus]) -> bool:
    """Whether something is published, and each harm with a published champion has a proven version that answers.

    A newer version that is refused doesn't count against it: the one before answers.
    """
    answering = [x.serving is not None for x in served if x.published.champion is not None]
    return bool(answering) and all(answering)


def respond(path: str, runtime: Runtime | None) -> Response:
    """What a health route answers: 200, or 503 while not ready."""
    if path in ALIVE:
        return PlainTextResponse("ok\n")
    found = health(runtime)
    status = HTTPStatus.OK if found.status == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _harm_health(served: ServingStatus, home: str) -> HarmHealth:
    wanted = served.published.aliases.get("champion", served.published.champion)
    # Reasons may name files; where they lie is nobody's business here.
    refused = {version: why.replace(home, "…") for version, why in served.refused.items()}
    return HarmHealth(served.serving, wanted, refused)

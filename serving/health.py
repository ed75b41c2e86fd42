"""Whether this process can answer, and what of it can't: said to anyone who asks, so nothing secret is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
from starlette.responses import PlainTextResponse, Response

from serving.published import Served
from serving.runtime import Runtime

Status = Literal["ready", "starting", "not_ready", "stopping"]
READY, ALIVE = "/readyz", frozenset(("/livez", "/healthz"))


class HarmHealth(msgspec.Struct, frozen=True):
    """Which version of a harm answers here, which one should, and why others don't, by version."""

    serving: str | None
    wanted: str | None
    refused: Mapping[str, str]


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `/readyz`."""

    status: Status
    harms: Mapping[str, HarmHealth] = {}


def health(runtime: Runtime | None) -> Health:
    """As of now; without parts, the service is starting."""
    if runtime is None:
        return Health("starting")
    served, home = runtime.published.served(), str(runtime.settings.root)
    harms = {x.harm: _of(x, home) for x in served if x.published.champion or x.published.aliases or x.serving}
    if runtime.stopping.is_set():
        return Health("stopping", harms)
    return Health("ready" if is_ready(served) else "not_ready", harms)


def is_ready(served: Iterable[Served]) -> bool:
    """Whether something is published, and each harm with a published champion has a proven version that answers.

    A newer version that is refused doesn't count against it: the one before answers.
    """
    answering = [x.serving is not None for x in served if x.published.champion is not None]
    return bool(answering) and all(answering)


def answer(path: str, runtime: Runtime | None) -> Response:
    """What a health route answers: 200, or 503 while not ready."""
    if path in ALIVE:
        return PlainTextResponse("ok\n")
    found = health(runtime)
    status = HTTPStatus.OK if found.status == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _of(served: Served, home: str) -> HarmHealth:
    published = served.published
    refused = dict(published.refused)
    if served.refused_here is not None and published.champion is not None:
        refused[published.champion] = served.refused_here
    wanted = published.aliases.get("champion", published.champion)
    # Reasons may name files; where they lie is nobody's business here.
    return HarmHealth(served.serving, wanted, {version: why.replace(home, "…") for version, why in refused.items()})

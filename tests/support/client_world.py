"""Either client behind one blocking face, against answers that are made up or the real stack in this process."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal
from starlette.types import ASGIApp

from leads_client import AsyncClient, Client

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
URL, KEY = "http://service.test", "ls_0123456789ab_secret"


class Pace:
    """A clock that only sleeping moves, and what was slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def timer(self) -> float:
        return self.now


class InProcess(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends to an ASGI app, from blocking code and on asyncio; loses the answers it is told to lose."""

    def __init__(self, app: ASGIApp, portal: BlockingPortal) -> None:
        self._app, self._portal = httpx.ASGITransport(app), portal
        self.lose = 0
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self.handle_async_request, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._app.handle_async_request(request)
        content = await response.aread()
        self.sent.append(request)
        if self.lose:
            self.lose -= 1
            raise httpx.ReadTimeout("lost", request=request)
        return httpx.Response(response.status_code, headers=response.headers, content=content, request=request)


class Face:
    """A client whose methods block, whichever it is."""

    def __init__(self, client: Client | AsyncClient, portal: BlockingPortal) -> None:
        self.client, self._portal = client, portal

    def with_options(self, **options: float) -> Face:
        return Face(self.client.with_options(**options), self._portal)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if isinstance(self.client, Client):
                found = method(*args, **kwargs)
                return list(found) if inspect.isgenerator(found) else found
            if inspect.isasyncgenfunction(method):
                return self._portal.call(_all, partial(method, *args, **kwargs))
            return self._portal.call(partial(method, *args, **kwargs))

        return call


async def _all(begin: Callable[[], Any]) -> list[Any]:
    return [one async for one in begin()]


def open_face(
    kind: str, portal: BlockingPortal, pace: Pace, transport: Any, *, key: str | None = KEY, **options: Any
) -> Face:
    """A client of this kind that sleeps only as `pace` does. Every random wait is half of what it may be."""
    options |= {"transport": transport, "timer": pace.timer, "draw": lambda: 0.5}
    if kind == "blocking":
        return Face(Client(URL, key, sleep=pace.sleep, **options), portal)
    return Face(AsyncClient(URL, key, sleep=pace.sleep_async, **options), portal)


def problem(status: int, detail: str = "No.", *errors: tuple[str, str], **headers: str) -> httpx.Response:
    """A problem document as the service writes it."""
    body = {
        "type": "urn:lead-serving:problem:x",
        "title": "A title",
        "status": status,
        "detail": detail,
        "errors": [{"pointer": pointer, "detail": text} for pointer, text in errors],
        "request_id": "r1",
    }
    return httpx.Response(
        status, headers={"content-type": "application/problem+json", **headers}, content=json.dumps(body).encode()
    )

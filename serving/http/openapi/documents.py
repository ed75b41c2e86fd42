"""Documents that are the same for every request: made and encoded once."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.runtime import Runtime


def serve_once_made(
    make: Callable[[str], object], runtime: Callable[[], Runtime]
) -> Callable[[Request], Awaitable[Response]]:
    """A handler that sends a document as JSON.

    Args:
        make: makes the document for a path that the app is mounted at. Called once per path, in a thread, because it
            may take most of a second.
    """
    made: dict[str, bytes] = {}
    lock = threading.Lock()

    def encoded(root: str) -> bytes:
        with lock:
            if root not in made:
                made[root] = msgspec.json.encode(make(root))
            return made[root]

    async def send(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        body = made.get(root)
        if body is None:
            body = await runtime().run(encoded, root)
        return Response(body, media_type="application/json")

    return send

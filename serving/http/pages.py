"""Pages next to the API: its documentation and the metrics.

Our documentation page replaces BentoML's, which loads a third-party tracker. Swagger UI itself comes with BentoML. Our
`/docs.json` replaces BentoML's, which makes the document for every request.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from leads.db.keys import ApiKey
from serving.http.access.authentication import KEY
from serving.http.openapi.documents import serve_once_made
from serving.runtime import Runtime

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Lead Serving</title>
<link rel="stylesheet" href="../static_content/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="../static_content/swagger-ui-bundle.js"></script>
<script src="./docs/start.js"></script>
</body>
</html>
"""
# The URL is absolute because browsers refuse to fetch relative to an address that contains a password.
_SCRIPT = """SwaggerUIBundle({
  url: location.origin + location.pathname.replace(/docs$/, "openapi.json"),
  dom_id: "#swagger-ui",
  deepLinking: true
});
"""
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


def create_pages(runtime: Callable[[], Runtime], whole_document: Callable[[], object]) -> Starlette:
    """The app to mount at `/`. It handles only its own paths.

    Args:
        whole_document: makes the OpenAPI document of all routes, BentoML's included.
    """

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    async def script(_: Request) -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    async def metrics(request: Request) -> Response:
        key: ApiKey = request.scope[KEY]
        text = await runtime().run(runtime().metrics.text, key.harms)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def index(_: Request) -> Response:
        return RedirectResponse("v1/docs")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/v1/docs", page),
            Route("/v1/docs/start.js", script),
            Route("/docs.json", serve_once_made(lambda _: whole_document(), runtime)),
            Route("/metrics", metrics),
        ]
    )

"""The headers on every response that tell browsers what not to do with it, and requests that a browser can forge."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from leads.api.declared import Declared
from leads.db import keys
from leads.db.tables import events
from serving.http import routes as api
from serving.http.openapi.route_docs import ROUTES
from serving.http.pages import create_pages
from serving.http.responses import secured
from serving.http.routes import create_app
from serving.runtime import Runtime
from tests.support.serving.route_world import filled
from tests.support.serving.world import Http, all_routes, make_stack

pytestmark = pytest.mark.slow


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    key = keys.create(runtime.engine, "x", ["admin"]).text
    return Http(make_stack(runtime, with_a_file), portal, headers={"x-api-key": key})


@cache
def with_a_file(declared: Declared) -> Starlette:
    """All routes, and a static file."""
    file = Route("/static_content/x.css", lambda _: PlainTextResponse("x"))
    return Starlette(routes=[file, *all_routes(declared).routes])


def test_every_response_is_protected(client: Http) -> None:
    asked = [(method, f"/v1{path}") for method, path in (route.split() for route in ROUTES)]
    pages = ("/livez", "/readyz", "/metrics", "/", "/v1/docs", "/v1/openapi.json", "/v1/x", "/x")
    asked += [("GET", path) for path in pages]
    statuses = set()
    for method, path in asked:
        for headers in ({}, {"x-api-key": "wrong"}, {"x-more": "x" * 20_000}):
            url = filled(path, "l_x")
            answer = client.request(method, url, headers=headers, **({"json": {}} if method == "POST" else {}))
            statuses.add(answer.status_code)
            found = {name: answer.headers.get_list(name) for name in ("x-content-type-options", "cache-control")}
            assert found == {"x-content-type-options": ["nosniff"], "cache-control": ["no-store"]}, (url, answer)
            (policy,) = answer.headers.get_list("content-security-policy")
            assert policy.endswith("frame-ancestors 'none'"), url
            assert ("default-src 'self'; " in policy) is (url == "/v1/docs" and answer.status_code == 200)
    assert {200, 307, 401, 404, 422, 431} <= statuses


def test_documents_are_made_once(runtime: Runtime, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    original, made = api.api_document, list[int]()

    def api_document(*args: Any) -> dict[str, Any]:
        made.append(2)
        return original(*args)

    monkeypatch.setattr(api, "api_document", api_document)
    pages = create_pages(lambda: runtime, lambda: made.append(1) or {"paths": {}})
    routes = Starlette(routes=[Mount("/v1", create_app(lambda: runtime)), Mount("/", pages)])
    key = keys.create(runtime.engine, "x", ["admin"]).text
    client = Http(make_stack(runtime, lambda _: routes), portal, headers={"x-api-key": key})
    bodies = [client.get(path).content for path in ("/docs.json", "/v1/openapi.json") * 3]
    assert sorted(made) == [1, 2]
    assert len(set(bodies)) == 2
    (server,) = msgspec.json.decode(bodies[1])["servers"]
    assert server["url"] == "/v1"


@pytest.mark.parametrize("path", ["/v1/leads/", "/v1/docs/", "/metrics/", "/v1/leads/claim/", "/v1/openapi.json/"])
def test_a_slash_too_many_is_not_redirected(client: Http, path: str) -> None:
    """The redirect would lead to whatever host the client named."""
    answer = client.get(path, headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "location" not in answer.headers
    assert "evil" not in answer.text


def test_scripts_and_styles_may_be_kept(client: Http) -> None:
    assert "cache-control" not in client.get("/static_content/x.css").headers
    assert client.get("/static_content/x.css").headers["x-content-type-options"] == "nosniff"


def test_a_response_s_own_headers_are_merged() -> None:
    given = [(b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"max-age=9"), (b"etag", b"1")]
    assert secured(given) == [
        (b"etag", b"1"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
        (b"cache-control", b"no-store"),
    ]
    assert (b"cache-control", b"max-age=9") in secured(given, keep=True)


@pytest.mark.parametrize("any_settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith("POST")])
@pytest.mark.parametrize(
    "type_", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json5"]
)
def test_what_a_browser_sends_without_asking_is_refused(
    client: Http, runtime: Runtime, route: str, type_: str | None
) -> None:
    """A page of another site can send these types, or none, to any host, and the browser adds what it has saved."""
    path = filled(f"/v1{route.split()[1]}", "l_x")
    body = b'{"items": [{"id": "c1", "typeId": "comment"}]}'
    client.without_type()
    answer = client.post(path, content=body, headers={} if type_ is None else {"content-type": type_})
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    with runtime.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one() == 0


def test_a_wrong_method_without_a_body_is_405(client: Http) -> None:
    client.without_type()
    assert client.request("DELETE", "/v1/leads").status_code == 405
    assert client.request("DELETE", "/v1/leads", content=b"x").status_code == 415

"""Which requests get past the check of their key."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.settings import Settings
from serving.http import rate_limits
from serving.http.access import key_cache
from serving.http.access.key_cache import KeyCache
from serving.http.rate_limits import RateLimits
from serving.runtime import Runtime
from tests.support.serving.world import Http, make_runtime, make_stack, publish


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def any_runtime(any_settings: Settings, any_engine: Engine) -> Iterator[Runtime]:
    publish(any_settings, "spam")
    opened = make_runtime(any_settings, any_engine)
    yield opened
    opened.close()


def status(client: Http, text: str) -> int:
    return client.get("/v1/models", headers={"x-api-key": text}).status_code


def test_a_flood_of_unknown_keys_does_not_lock_out_valid_ones(
    any_runtime: Runtime, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "UNKNOWN_PER_S", 2.0)
    known = [keys.create(any_runtime.engine, "x", ["admin"]).text for _ in range(3)]
    now = 5.0
    cache = KeyCache(any_runtime.engine, timer=lambda: now)
    client = Http(make_stack(replace(any_runtime, keys=cache, rates=RateLimits(timer=lambda: 5.0))), portal)
    # More malformed keys than are ever looked up, then more unknown ones.
    assert {status(client, text) for text in ("", "x", "ls_1_2", *(f"ls_{i:012x}_short" for i in range(50)))} == {401}
    flood = [status(client, f"ls_{i:012x}_{'x' * 43}") for i in range(50)]
    assert flood == [401] * 4 + [429] * 46
    # The process meets these for the first time. Their ids with another secret are refused at once, too.
    assert [status(client, text) for text in known] == [200] * 3
    assert [status(client, f"{text[:16]}{'x' * 43}") for text in known] == [401] * 3
    text = any_runtime.metrics.text().decode()
    assert 'leads_rate_limited_total{limit="unknown_keys"} 46.0' in text
    # A key that is created during the flood works as soon as the keys are read again.
    new = keys.create(any_runtime.engine, "new", ["admin"]).text
    assert status(client, new) == 429
    now += keys.CACHE_S
    assert status(client, new) == 200


def test_a_new_key_works_at_once(any_runtime: Runtime, portal: BlockingPortal) -> None:
    client = Http(make_stack(replace(any_runtime, keys=KeyCache(any_runtime.engine))), portal)
    for _ in range(2):
        assert status(client, keys.create(any_runtime.engine, "x", ["admin"]).text) == 200


def test_the_database_is_not_asked_for_each_request(
    runtime: Runtime, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    real = key_cache.read_valid
    monkeypatch.setattr(key_cache, "read_valid", lambda engine, id_=None: asked.append(id_) or real(engine, id_))
    client = Http(make_stack(replace(runtime, keys=KeyCache(runtime.engine))), portal)
    made, unknown = keys.create(runtime.engine, "x", ["admin"]), "0" * 12
    for text, expected in ((made.text, 200), (f"ls_{unknown}_{'x' * 43}", 401)):
        assert {status(client, text) for _ in range(3)} == {expected}
    assert asked == [None, unknown]


def test_keys_are_checked_while_every_thread_waits_for_the_database(runtime: Runtime, portal: BlockingPortal) -> None:
    client = Http(make_stack(runtime), portal, headers={"x-api-key": keys.create(runtime.engine, "x", ["admin"]).text})
    for limiter in (runtime.threads.reads, runtime.threads.writes, runtime.threads.scores):
        for _ in range(int(limiter.total_tokens)):
            portal.call(limiter.acquire_on_behalf_of_nowait, object())
    assert client.get("/v1/models").status_code == 200


BODIES = {"/v1/leads/claim": {"reviewer": "eve", "n": 3}, "/score": {}, "/v1/decisions": {}}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in BODIES),
        *(("GET", path) for path in ("/v1/leads", "/v1/models", "/metrics", "/score", "/v1/leads/x", "/v1/docsx")),
        *(("POST", path) for path in ("/", "/v1/docs", "/docs.json", "/static_content/x")),
    ],
)
def test_only_pages_accept_the_password_that_a_browser_sends_by_itself(
    runtime: Runtime, portal: BlockingPortal, method: str, path: str
) -> None:
    text = keys.create(runtime.engine, "x", ["admin"]).text
    basic = {"authorization": "Basic " + base64.b64encode(f"me:{text}".encode()).decode(), "accept": "text/html"}
    client = Http(make_stack(runtime), portal, headers=basic)
    refused = client.request(method, path, json=BODIES.get(path, {}))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "Basic authentication" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/docs", "/", "/docs.json", "/static_content/swagger-ui.css"])
def test_pages_ask_browsers_for_a_password(runtime: Runtime, portal: BlockingPortal, path: str) -> None:
    client = Http(make_stack(runtime), portal)
    assert client.get(path).headers["www-authenticate"].startswith("Basic realm=")
    for wrong in ("x", "!", base64.b64encode(b"me:wrong").decode()):
        answer = client.get(path, headers={"authorization": f"Basic {wrong}"})
        assert (answer.status_code, answer.json()["detail"][:16]) == (401, "Invalid API key.")
    text = keys.create(runtime.engine, "x", ["admin"]).text
    basic = base64.b64encode(f"me:{text}".encode()).decode()
    # Only the first of these pages is part of this stack.
    expected = 200 if path == "/v1/openapi.json" else 404
    assert client.get(path, headers={"authorization": f"Basic {basic}"}).status_code == expected

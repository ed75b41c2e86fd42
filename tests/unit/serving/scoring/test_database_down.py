"""While the database is down, every route that needs it returns 503 and a problem document, never 500."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.db.engine import unchecked_engine
from leads.settings import load_settings
from serving.http.access.key_cache import KeyCache
from serving.runtime import Runtime
from tests.support.serving.route_world import filled
from tests.support.serving.world import Http, make_stack

# Answered from memory, or scored on what the request holds.
WITHOUT_DATABASE = {"/score", "/models", "/types", "/harms"}


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Engine]:
    """An engine for a PostgreSQL server that isn't running."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql+psycopg://nobody:hunter2@127.0.0.1:{port}/leads"
    engine = unchecked_engine(load_settings(home=tmp_path / "down", database_url=url), timeout_s=1)
    yield engine
    engine.dispose()


def test_each_route_says_that_the_database_is_down(runtime: Runtime, portal: BlockingPortal, down: Engine) -> None:
    key = keys.create(runtime.engine, "x", ["admin"], reviewer="rev-12").text
    client = Http(make_stack(replace(runtime, engine=down)), portal, headers={"x-api-key": key})
    paths: dict[str, dict[str, Any]] = client.get("/v1/openapi.json").json()["paths"]
    asked = 0
    for path, methods in paths.items():
        for method, described in methods.items():
            if path in WITHOUT_DATABASE:
                continue
            content = described.get("requestBody", {}).get("content", {})
            examples = content.get("application/json", {}).get("examples", {})
            body = next(iter(examples.values()))["value"] if content else None
            answer = client.request(method, filled(f"/v1{path}", "0" * 32), json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), path
            assert answer.json()["title"] == "Unavailable"
            assert "database" in answer.json()["detail"]
            assert "hunter2" not in answer.text
            asked += 1
    assert asked >= 10


def test_a_key_that_cant_be_looked_up_is_503_not_401(runtime: Runtime, portal: BlockingPortal, down: Engine) -> None:
    key = keys.create(runtime.engine, "x", ["admin"], reviewer="rev-12").text
    client = Http(make_stack(replace(runtime, keys=KeyCache(down))), portal, headers={"x-api-key": key})
    assert client.get("/v1/models").status_code == 503

"""The keys that each route requires, and what a key for some harms sees."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads.db import keys
from serving.runtime import Runtime
from tests.support.serving.route_world import (
    counts,
    problem,
    put_lead,
)
from tests.support.serving.world import Http, make_stack


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/score", "score"),
        ("POST", "/v1/items", "events:write"),
        ("POST", "/v1/signals", "events:write"),
        ("POST", "/v1/plays", "events:write"),
        ("GET", "/v1/leads", "leads:read"),
        ("GET", "/v1/leads/stats", "leads:read"),
        ("GET", "/v1/leads/l_x", "leads:read"),
        ("GET", "/v1/leads/l_x/audit", "leads:read"),
        ("POST", "/v1/leads/claim", "leads:decide"),
        ("GET", "/v1/reviews", "leads:decide"),
        ("POST", "/v1/leads/l_x/release", "leads:decide"),
        ("POST", "/v1/leads/l_x/extend", "leads:decide"),
        ("POST", "/v1/leads/l_x/decision", "leads:decide"),
        ("POST", "/v1/decisions", "leads:decide"),
    ],
)
def test_each_route_needs_its_scope(
    client: Http, key: Callable[..., dict[str, str]], method: str, path: str, scope: str
) -> None:
    others = [other for other in keys.SCOPES if other not in (scope, "admin")]
    found = problem(client.request(method, path, content=b"{}", headers=key(*others)), 403)
    assert scope in found["detail"]
    for enough in (scope, "admin"):
        assert client.request(method, path, content=b"{}", headers=key(enough)).status_code != 403


def test_a_key_for_some_harms_sees_no_other(client: Http, engine: Engine, key: Callable[..., dict[str, str]]) -> None:
    mine = key("score", "leads:read", "leads:decide", "act_as", "events:write", harms=["spam"])
    put_lead(engine, "c1"), put_lead(engine, "c2", harm="sexism")
    hidden = put_lead(engine, "c3", harm="sexism")
    assert [x["harm"] for x in client.get("/v1/leads", headers=mine).json()["leads"]] == ["spam"]
    assert [x["harm"] for x in client.get("/v1/models", headers=mine).json()["models"]] == ["spam"]
    claimed = client.post("/v1/leads/claim", json={"reviewer": "ann", "n": 9}, headers=mine).json()["leads"]
    assert [x["harm"] for x in claimed] == ["spam"]
    client.post("/v1/leads/claim", json={"reviewer": "eve", "harms": ["sexism"]})
    stats = client.get("/v1/leads/stats", headers=mine).json()
    assert [(x["harm"], x["leads"]["claimed"]) for x in stats["harms"]] == [("spam", 1)]
    assert [(x["reviewer"], x["held"]) for x in stats["reviewers"]] == [("ann", 1)]
    assert {"ann", "eve"} == {x["reviewer"] for x in client.get("/v1/leads/stats").json()["reviewers"]}
    subject = {"id": "c1", "typeId": "comment"}
    ruling = {"verdict": "violating", "reviewer": "ann"}
    before = counts(engine)
    for path, body in (
        ("/v1/score", {"subjects": [{**subject, "data": {"text": "x"}}], "harms": ["sexism"]}),
        ("/v1/leads/claim", {"reviewer": "ann", "harms": ["sexism"]}),
        ("/v1/decisions", {"subject": subject, "harm": "sexism", **ruling}),
        ("/v1/signals", {"signals": [{"subject": subject, "kind": "user_report", "source": "a", "harm": "sexism"}]}),
    ):
        problem(client.post(path, json=body, headers=mine), 403)
    problem(client.get("/v1/leads", params={"harm": "sexism"}, headers=mine), 403)
    for path in (f"/v1/leads/{hidden}", f"/v1/leads/{hidden}/audit"):
        problem(client.get(path, headers=mine), 404)
    problem(client.post(f"/v1/leads/{hidden}/decision", json=ruling, headers=mine), 404)
    assert counts(engine) == before


def test_missing_invalid_and_revoked_keys_are_refused(runtime: Runtime, portal: BlockingPortal) -> None:
    made = keys.create(runtime.engine, "x", ["leads:read"])
    bare = Http(make_stack(runtime), portal)
    for headers in (
        {},
        {"x-api-key": ""},
        {"x-api-key": "ls_a_b"},
        {"authorization": "Basic !"},
        {"authorization": "x"},
    ):
        found = problem(bare.get("/v1/leads", headers=headers), 401)
        assert "ls_a_b" not in json.dumps(found)
    for path in ("/", "/docs.json", "/metrics", "/v1/openapi.json", "/v1/nope", "/nope"):
        assert bare.get(path).status_code == 401
    assert bare.get("/v1/leads", headers={"authorization": f"Bearer {made.text}"}).status_code == 200
    assert bare.get("/v1/leads").headers["www-authenticate"] == "Bearer"
    keys.revoke(runtime.engine, made.key.id)
    time.sleep(0.3)
    problem(bare.get("/v1/leads", headers={"x-api-key": made.text}), 401)

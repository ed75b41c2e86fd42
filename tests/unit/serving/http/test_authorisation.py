"""Who may do what: every route with every kind of key, valid ones on both databases.

A new route fails here until it has a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from leads import clock
from leads.db import event_log, keys
from leads.db.keys import SCOPES, Scope
from leads.db.monitoring import silences
from leads.db.monitoring.tables import alerts
from leads.events import Event, ItemCreated, SignalReceived, Subject, SubjectRef
from leads.policies import QueuePolicy
from serving.http.middleware import OPEN_PATHS
from serving.queue.leads_table import lead_id
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from tests.support.serving.route_world import filled
from tests.support.serving.world import Http, all_routes, make_stack

pytestmark = pytest.mark.slow

SUBJECT = {"id": "c1", "typeId": "comment"}
LEAD = lead_id(Subject("comment", "c1"), "spam")
SILENCE = {"rule": "skew", "harm": "spam", "until": clock.to_text(clock.now() + clock.DAY)}
VERDICT = {"verdict": "violating", "reviewer": "ann"}


ALERT = {
    "rule": "skew", "harm": "spam", "slice": "", "version": "3", "severity": "page", "state": "firing", "since": 0,
    "opened_at": 0, "seen_at": 0, "limit": 0.0, "detail": {},
}  # fmt: skip


class Row(NamedTuple):
    """A route: the scope it needs (None: any valid key), a request, and what it answers a key for other harms only."""

    scope: Scope | None
    body: Mapping[str, Any] | None = None
    other_harm: int = 200


ROWS: Mapping[str, Row] = {
    "GET /": Row(None, other_harm=307),
    "GET /docs.json": Row(None),
    "GET /metrics": Row(None),
    "GET /v1/docs": Row(None),
    "GET /v1/docs/start.js": Row(None),
    "GET /v1/openapi.json": Row(None),
    "GET /v1/models": Row(None),
    "GET /v1/harms": Row(None),
    "GET /v1/types": Row(None),
    "POST /v1/score": Row("score", {"subjects": [SUBJECT], "harms": ["spam"]}, 403),
    "POST /v1/items": Row("events:write", {"items": [{**SUBJECT, "data": {"text": "x"}}]}, 202),
    "POST /v1/signals": Row(
        "events:write",
        {"signals": [{"subject": SUBJECT, "kind": "user_report", "source": "app", "harm": "spam"}]},
        403,
    ),
    "POST /v1/plays": Row("events:write", {"plays": [{"subject": SUBJECT, "accountId": "a1", "seconds": 31.0}]}, 202),
    "POST /v1/events": Row(
        "events:write",
        {"events": [{"kind": "follow", "accountId": "a1", "subject": {"id": "a2", "typeId": "account"}}]},
        202,
    ),
    "GET /v1/monitoring/metrics": Row("monitoring:read"),
    "GET /v1/monitoring/runs": Row("monitoring:read"),
    "GET /v1/monitoring/summary": Row("monitoring:read"),
    "GET /v1/monitoring/alerts": Row("monitoring:read"),
    "GET /v1/monitoring/alerts/{alert_id}": Row("monitoring:read", other_harm=404),
    "POST /v1/monitoring/alerts/{alert_id}/acknowledge": Row("monitoring:write", {}, 404),
    "GET /v1/monitoring/silences": Row("monitoring:read"),
    "POST /v1/monitoring/silences": Row("monitoring:write", {**SILENCE, "why": "a test"}, 403),
    "DELETE /v1/monitoring/silences/{silence_id}": Row("monitoring:write", other_harm=404),
    "GET /v1/leads": Row("leads:read"),
    "GET /v1/leads/stats": Row("leads:read"),
    "GET /v1/leads/{lead_id}": Row("leads:read", other_harm=404),
    "GET /v1/leads/{lead_id}/audit": Row("leads:read", other_harm=404),
    "GET /v1/reviews": Row("leads:decide"),
    "POST /v1/leads/claim": Row("leads:decide", {"reviewer": "ann"}),
    "POST /v1/leads/{lead_id}/extend": Row("leads:decide", {"reviewer": "ann"}, 404),
    "POST /v1/leads/{lead_id}/release": Row("leads:decide", {"reviewer": "ann"}, 404),
    "POST /v1/leads/{lead_id}/decision": Row("leads:decide", VERDICT, 404),
    "POST /v1/decisions": Row("leads:decide", {**VERDICT, "subject": SUBJECT, "harm": "spam"}, 403),
}


@pytest.fixture
def app(runtime: Runtime) -> Starlette:
    return all_routes(runtime.declared)


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    return Http(make_stack(runtime, all_routes), portal)


@pytest.fixture(autouse=True)
def _one_lead(engine: Engine) -> None:
    """A comment with a lead for spam and signals about two harms, and an alert and a silence about spam."""
    now = clock.now()
    ref = SubjectRef("comment", "c1")
    signals = [SignalReceived(ref, "classifier", f"vendor-{harm}", harm, score=0.5) for harm in ("spam", "sexism")]
    bodies = [ItemCreated(ref, account_id="a1", text="free coins"), *signals]
    one = Offer(Subject("comment", "c1"), "spam", 0.8, "review", "1", "p", (), 3.0, 1.0, now)
    with engine.begin() as connection:
        connection.execute(sa.insert(alerts).values(ALERT))
        silences.add(connection, "skew", "spam", now + clock.DAY, by="ann", why="a test", now=now)
        event_log.append(connection, "test", [Event(f"e{i}", now, body) for i, body in enumerate(bodies)])
        offer(connection, [one], now, QueuePolicy())


def routes_of(routes: list[BaseRoute], prefix: str = "") -> set[str]:
    """Every route below these as `GET /v1/leads`."""
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Mount):
            found |= routes_of(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            found |= {f"{method} {prefix}{route.path}" for method in (route.methods or ()) if method != "HEAD"}
    return found


def ask(client: Http, name: str, key: str | None) -> httpx.Response:
    method, path = name.split()
    headers = {} if key is None else {"x-api-key": key}
    body = ROWS[name].body
    params = {"reviewer": "ann"} if path == "/v1/reviews" else None
    return client.request(method, filled(path, LEAD), json=body, params=params, headers=headers)


def test_every_route_has_a_row(app: Starlette) -> None:
    assert routes_of(app.routes) == set(ROWS)


@pytest.mark.parametrize("any_settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ROWS)
def test_without_a_valid_key_nothing_is_answered(client: Http, engine: Engine, name: str) -> None:
    revoked = keys.create(engine, "old", ["admin"], reviewer="ann")
    keys.revoke(engine, revoked.key.id)
    wrong = f"ls_{revoked.key.id}_{'x' * 43}"
    for key in (None, "", "nonsense", wrong, revoked.text):
        answer = ask(client, name, key)
        assert answer.status_code == 401, key
        assert "free coins" not in answer.text


@pytest.mark.parametrize("name", ROWS)
def test_each_scope_allows_its_routes_alone(client: Http, engine: Engine, name: str) -> None:
    row = ROWS[name]
    for scope in SCOPES:
        key = keys.create(engine, f"only {scope}", [scope], reviewer="ann" if scope == "leads:decide" else None).text
        status = ask(client, name, key).status_code
        allowed = scope in (row.scope, "admin") or (row.scope is None and scope != "metrics")
        if allowed or name == "GET /metrics":
            assert status not in (401, 403), scope
        else:
            assert status == 403, scope


@pytest.mark.parametrize("name", ROWS)
def test_a_key_for_other_harms_learns_nothing_about_this_one(client: Http, engine: Engine, name: str) -> None:
    scopes: list[Scope] = ["score", "leads:read", "leads:decide", "act_as", "events:write"]
    scopes += ["monitoring:read", "monitoring:write"]
    answer = ask(client, name, keys.create(engine, "other", scopes, harms=["sexism"]).text)
    assert answer.status_code == ROWS[name].other_harm
    if name not in ("GET /v1/openapi.json",) and answer.status_code < 300:
        assert "spam" not in answer.text


def test_a_bound_key_acts_as_its_reviewer_alone(client: Http, engine: Engine) -> None:
    bound = keys.create(engine, "Ann's key", ["leads:decide"], reviewer="ann").text
    tool = keys.create(engine, "tool", ["leads:decide", "act_as"]).text
    nobody = keys.create(engine, "x", ["act_as"]).key
    assert nobody.reviewer is None
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/leads/claim", {}),
        (f"/v1/leads/{LEAD}/extend", {}),
        (f"/v1/leads/{LEAD}/decision", {"verdict": "violating"}),
        ("/v1/decisions", {"verdict": "violating", "subject": SUBJECT, "harm": "spam"}),
        (f"/v1/leads/{LEAD}/release", {}),
    ]
    for path, body in requests:
        named = client.post(path, json={**body, "reviewer": "bob"}, headers={"x-api-key": bound})
        assert (named.status_code, named.json()["errors"][0]["pointer"]) == (403, "/reviewer"), path
        missing = client.post(path, json=body, headers={"x-api-key": tool})
        assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (422, "/reviewer"), path
    other = client.get("/v1/reviews", params={"reviewer": "bob"}, headers={"x-api-key": bound})
    assert other.status_code == 403
    (claimed,) = client.post("/v1/leads/claim", json={}, headers={"x-api-key": bound}).json()["leads"]
    held = client.get("/v1/reviews", headers={"x-api-key": bound}).json()
    assert (held["reviewer"], held["leads"][0]["reviewId"]) == ("ann", claimed["reviewId"])
    assert client.get("/v1/reviews", params={"reviewer": "ann"}, headers={"x-api-key": tool}).json() == held
    decided = client.post(f"/v1/leads/{LEAD}/decision", json={"verdict": "violating"}, headers={"x-api-key": bound})
    assert decided.json()["reviewer"] == "ann"


def test_nobody_decides_as_automation(client: Http, engine: Engine) -> None:
    for scopes in (["leads:decide", "act_as"], ["admin"]):
        key = keys.create(engine, "x", scopes).text
        for path, body in (
            (f"/v1/leads/{LEAD}/decision", VERDICT),
            ("/v1/decisions", {**VERDICT, "subject": SUBJECT, "harm": "spam"}),
        ):
            answer = client.post(path, json={**body, "by": "automation"}, headers={"x-api-key": key})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (403, "/by")


def test_an_event_id_that_we_use_cannot_be_taken_from_outside(client: Http, engine: Engine) -> None:
    """Whoever writes events knows the ids that a decision may get; the decision is made all the same."""
    writer = {"x-api-key": keys.create(engine, "w", ["events:write"]).text}
    tool = {"x-api-key": keys.create(engine, "t", ["leads:decide", "act_as", "leads:read"]).text}
    shown = {"contentVersion": client.get(f"/v1/leads/{LEAD}", headers=tool).json()["contentVersion"]}
    decided = client.post(f"/v1/leads/{LEAD}/decision", json={**VERDICT, **shown}, headers=tool)
    assert decided.status_code == 200
    (logged,) = event_log.read_kind(engine, "decision_made")
    taken = [{**SUBJECT, "eventId": logged.event.id, "data": {"text": "free coins"}}]
    assert client.post("/v1/items", json={"items": taken}, headers=writer).status_code == 202
    shown = {"contentVersion": client.get(f"/v1/leads/{LEAD}", headers=tool).json()["contentVersion"]}
    body = {**VERDICT, **shown, "verdict": "not_violating", "subject": SUBJECT, "harm": "spam", "appeal": True}
    assert client.post("/v1/decisions", json=body, headers=tool).status_code == 200
    assert len(list(event_log.read_kind(engine, "decision_made"))) == 2


def test_the_audit_trail_names_the_key(client: Http, engine: Engine) -> None:
    made = keys.create(engine, "t", ["leads:decide", "act_as", "leads:read"])
    client.post("/v1/leads/claim", json={"reviewer": "ann"}, headers={"x-api-key": made.text})
    client.post(f"/v1/leads/{LEAD}/decision", json=VERDICT, headers={"x-api-key": made.text})
    trail = client.get(f"/v1/leads/{LEAD}/audit", headers={"x-api-key": made.text}).json()["entries"]
    assert [(x["action"], x["actor"], x["key"]) for x in trail] == [
        ("offered", "scoring", None),
        ("claimed", "ann", made.key.id),
        ("decided", "ann", made.key.id),
    ]
    assert trail[-1]["detail"]["contentVersion"] == trail[-2]["detail"]["contentVersion"]


def test_health_needs_no_key(client: Http) -> None:
    assert {client.get(path).status_code for path in sorted(OPEN_PATHS)} <= {200, 503}

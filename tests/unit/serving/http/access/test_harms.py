"""A key that is limited to a harm sees nothing of the others, whatever it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.clock import Micros
from leads.db import keys
from leads.db.monitoring import rows as measured
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.tables import alerts
from leads.events import Subject
from leads.policies import QueuePolicy
from leads.settings import Settings
from serving.http.middleware import OPEN_PATHS
from serving.http.openapi.route_docs import ROUTES
from serving.queue.leads_table import lead_id
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from tests.support.serving.world import POLICIES, Http, all_routes, make_runtime, make_stack, point_to, publish

pytestmark = pytest.mark.slow

OWN = "spam"
OTHERS = sorted(set(POLICIES.harms) - {OWN})
REF = {"id": "c1", "typeId": "comment"}
SCORE = 0.7251


@pytest.fixture
def runtime(any_settings: Settings, any_engine: Engine) -> Iterator[Runtime]:
    """Every harm has a champion, a refused version, metrics, a lead and signals about one comment."""
    for harm in POLICIES.harms:
        publish(any_settings, harm)
        point_to(any_settings, harm, "2", "canary")
    opened = make_runtime(any_settings, any_engine)
    now = clock.now()
    with any_engine.begin() as connection:
        offers = [
            Offer(Subject("comment", "c1"), harm, 0.9, "review", "1", "p", (), 3.0, 1.0, now) for harm in POLICIES.harms
        ]
        offer(connection, offers, now, QueuePolicy())
        watched(connection, now)
    yield opened
    opened.close()


@pytest.fixture
def client(runtime: Runtime) -> Iterator[Http]:
    """Sends an unlimited key unless a request says otherwise."""
    key = keys.create(runtime.engine, "all", ["admin"]).text
    with start_blocking_portal() as portal:
        unlimited = Http(make_stack(runtime, all_routes), portal, headers={"x-api-key": key})
        fill(unlimited)
        yield unlimited


def watched(connection: Connection, now: Micros) -> None:
    """Monitoring found something about every harm, and says so in the notes of its run."""
    for harm in (OWN, *OTHERS):
        row = MetricRow(
            harm, "1", "", now - clock.DAY, now, "score.mean", SCORE if harm != OWN else 0.5, None, None, 9, ""
        )
        measured.write(connection, "r", [row])
        times = {"since": now, "opened_at": now, "seen_at": now}
        about = {"rule": "queue_old", "harm": harm, "slice": "", "version": "1", "severity": "page", "state": "firing"}
        connection.execute(sa.insert(alerts).values(**about, **times, limit=24.0, detail={}))
    run = runs.begin(connection, "host", now)
    runs.end(connection, run, now, until=now, notes=[f"{harm}: a note." for harm in (OWN, *OTHERS)])


def fill(client: Http) -> None:
    items = [{**REF, "data": {"text": "free coins"}}, {"id": "c1", "typeId": "account"}]
    assert client.post("/v1/items", json={"items": items}).status_code == 202
    signals: list[dict[str, Any]] = [
        {"subject": REF, "kind": "classifier", "source": f"of-{harm}", "harm": harm, "score": SCORE} for harm in OTHERS
    ]
    signals.append({**signals[0], "source": f"of-{OWN}", "harm": OWN, "score": 0.5})
    signals.append({"subject": REF, "kind": "user_report", "source": "of-nobody"})
    assert client.post("/v1/signals", json={"signals": signals}).status_code == 202
    for item in items:
        client.post("/v1/score", json={"subjects": [item]})
    for harm in (OWN, *OTHERS):
        assert client.post("/v1/monitoring/silences", json=silence(harm)).status_code == 200


def silence(harm: str) -> dict[str, str]:
    until = clock.to_text(clock.now() + clock.DAY)
    return {"rule": "skew", "harm": harm, "until": until, "why": "a test"}


def requests(lead: str, shown: str) -> dict[str, list[tuple[str, Any]]]:
    """By route, what a limited key asks, as path and body; the lead is one of its own or of another harm."""
    ruling = {"verdict": "violating", "reviewer": "r1", "contentVersion": shown, "onOldContent": True}
    signal = {"subject": REF, "kind": "user_report", "source": "app"}
    every = (*POLICIES.harms, "nope")
    named: list[dict[str, Any]] = [{}, *({"harms": [harm]} for harm in every)]
    # Of every harm, and one of none.
    watched_ids = range(1, len(POLICIES.harms) + 2)
    scored = [{"subjects": [{"id": "c1", "typeId": type_}]} for type_ in ("comment", "account", "track", "mood")]
    return {
        "POST /score": [("/score", {**body, **harms}) for body in scored for harms in named],
        "POST /items": [("/items", {"items": [REF]})],
        "POST /signals": [("/signals", {"signals": [{**signal, "harm": harm}]}) for harm in every],
        "POST /plays": [("/plays", {"plays": [{"subject": REF, "accountId": "a1", "seconds": 1}]})],
        "POST /events": [("/events", {"events": [{"kind": "follow", "accountId": "a1"}]})],
        "GET /models": [("/models", None)],
        "GET /harms": [("/harms", None)],
        "GET /types": [("/types", None)],
        "GET /leads": [("/leads", None), ("/leads?state=any", None), ("/leads?harm=nope", None)],
        "GET /leads/stats": [("/leads/stats", None)],
        "GET /leads/{lead_id}": [(f"/leads/{lead}", None)],
        "GET /leads/{lead_id}/audit": [(f"/leads/{lead}/audit", None)],
        "POST /leads/claim": [("/leads/claim", {"reviewer": "r1", "n": 9, **body}) for body in named],
        "GET /reviews": [("/reviews?reviewer=r1", None)],
        "POST /leads/{lead_id}/extend": [(f"/leads/{lead}/extend", {"reviewer": "r1"})],
        "POST /leads/{lead_id}/release": [(f"/leads/{lead}/release", {"reviewer": "r1"})],
        "POST /leads/{lead_id}/decision": [(f"/leads/{lead}/decision", ruling)],
        "GET /monitoring/metrics": [("/monitoring/metrics", None), ("/monitoring/metrics?harm=nope", None)],
        "GET /monitoring/runs": [("/monitoring/runs", None)],
        "GET /monitoring/summary": [("/monitoring/summary", None)],
        "GET /monitoring/alerts": [("/monitoring/alerts?state=any", None)],
        "GET /monitoring/alerts/{alert_id}": [(f"/monitoring/alerts/{i}", None) for i in watched_ids],
        "POST /monitoring/alerts/{alert_id}/acknowledge": [
            (f"/monitoring/alerts/{i}/acknowledge", {}) for i in watched_ids
        ],
        "GET /monitoring/silences": [("/monitoring/silences", None)],
        "POST /monitoring/silences": [("/monitoring/silences", silence(harm)) for harm in every],
        "DELETE /monitoring/silences/{silence_id}": [(f"/monitoring/silences/{i}", None) for i in watched_ids],
        "POST /decisions": [("/decisions", {**ruling, "subject": REF, "harm": harm}) for harm in every],
    }


def test_no_response_mentions_another_harm(client: Http, runtime: Runtime) -> None:
    mine = {"x-api-key": keys.create(runtime.engine, "limited", ["admin"], harms=[OWN]).text}
    subject = Subject("comment", "c1")
    leads = [lead_id(subject, harm) for harm in (OWN, *OTHERS)]
    shown = client.get(f"/v1/leads/{leads[0]}").json()["contentVersion"]
    table = {id_: requests(id_, shown) for id_ in leads}
    assert set(table[leads[0]]) == set(ROUTES), "A new route needs its requests here."
    answered: dict[str, set[int]] = {}
    for id_ in leads:
        for route, asked in table[id_].items():
            for path, body in asked:
                kwargs = {} if body is None else {"json": body}
                answer = client.request(route.split()[0], f"/v1{path}", headers=mine, **kwargs)
                answered.setdefault(route, set()).add(answer.status_code)
                assert answer.status_code < 500, (route, answer.text)
                # A harm that the request itself names may be repeated.
                hidden = [harm for harm in OTHERS if harm not in f"{path} {body}"]
                text = f"{answer.text} {dict(answer.headers)}"
                assert [harm for harm in (*hidden, str(SCORE)) if harm in text] == [], (route, body, answer.text)
    # Each route also answered a request about the key's own harm.
    assert all(min(statuses) < 300 for statuses in answered.values()), answered
    for path in ("/metrics", *OPEN_PATHS):
        text = client.get(path, headers=mine).text
        assert [harm for harm in OTHERS if harm in text] == [], path


def test_the_limit_hides_no_more_than_it_must(client: Http, runtime: Runtime) -> None:
    mine = {"x-api-key": keys.create(runtime.engine, "limited", ["admin"], harms=[OWN]).text}
    path = f"/v1/leads/{lead_id(Subject('comment', 'c1'), OWN)}"
    limited, unlimited = client.get(path, headers=mine).json(), client.get(path).json()
    assert {x["source"] for x in limited["signals"]} == {"of-spam", "of-nobody"}
    assert {x["source"] for x in unlimited["signals"]} == {"of-nobody", *(f"of-{harm}" for harm in POLICIES.harms)}
    assert {**limited["lead"], "priority": 0} == {**unlimited["lead"], "priority": 0}
    for headers, harms in ((mine, {OWN}), ({}, set(POLICIES.harms))):
        text = client.get("/metrics", headers=headers).text
        assert {harm for harm in POLICIES.harms if f'harm="{harm}"' in text} == harms
        assert "leads_http_requests_total{" in text


def test_a_type_of_another_harm_is_refused_like_one_of_no_harm(client: Http, runtime: Runtime) -> None:
    mine = {"x-api-key": keys.create(runtime.engine, "limited", ["admin"], harms=[OWN]).text}
    types = {name for harm in POLICIES.harms.values() for name in harm.subject_types}
    (other, *_) = types - set(POLICIES.harms[OWN].subject_types)
    said = []
    for type_ in (other, "mood"):
        answer = client.post("/v1/score", json={"subjects": [{"id": "x1", "typeId": type_}]}, headers=mine)
        said.append((answer.status_code, answer.json()["errors"][0]["detail"].replace(type_, "…")))
    assert said[0] == said[1]
    assert said[0][0] == 422


def test_a_harm_that_exists_is_refused_like_one_that_does_not(client: Http, runtime: Runtime) -> None:
    mine = {"x-api-key": keys.create(runtime.engine, "limited", ["admin"], harms=[OWN]).text}
    refused = []
    for harm in ("sexism", "nope"):
        for path, body in (
            ("/v1/score", {"subjects": [REF], "harms": [harm]}),
            ("/v1/leads/claim", {"reviewer": "r1", "n": 1, "harms": [harm]}),
            ("/v1/decisions", {"verdict": "violating", "reviewer": "r1", "subject": REF, "harm": harm}),
            ("/v1/signals", {"signals": [{"subject": REF, "kind": "user_report", "source": "a", "harm": harm}]}),
        ):
            answer = client.post(path, json=body, headers=mine)
            refused.append((path, answer.status_code, answer.json()["detail"].replace(harm, "…")))
    assert refused[:4] == refused[4:]
    assert {status for _, status, _ in refused} == {403}

"""The routes over HTTP: their responses, the keys they require, and the problem documents for invalid requests."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import event_log, keys
from leads.db.tables import audit, events, idempotency, leads
from leads.events import DecisionMade, ItemCreated, Played, SignalReceived, Subject
from leads.policies import QueuePolicy
from serving.http.bodies import MAX_BODY_BYTES
from serving.http.openapi.examples import LEAD_ID
from serving.http.openapi.route_docs import ROUTES
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, Http, make_stack

SECRET_TEXT = "buy my secret thing"


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    made = keys.create(runtime.engine, "all", ["score", "leads:read", "leads:decide", "act_as", "events:write"])
    return Http(make_stack(runtime), portal, headers={"x-api-key": made.text})


@pytest.fixture
def key(runtime: Runtime) -> Callable[..., dict[str, str]]:
    def make(*scopes: str, harms: list[str] | None = None) -> dict[str, str]:
        return {"x-api-key": keys.create(runtime.engine, "x", scopes, harms=harms).text}

    return make


def put_lead(engine: Engine, id_: str = "c1", score: float = 0.8, harm: str = "spam") -> str:
    now = clock.now()
    reasons = (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    one = Offer(Subject("comment", id_), harm, score, "review", "1", "p", reasons, 3.0, 1.0, now)
    with engine.begin() as connection:
        offer(connection, [one], now, QueuePolicy())
    with engine.connect() as connection:
        found: str = connection.execute(
            sa.select(leads.c.id).where(leads.c.subject_id == id_, leads.c.harm == harm)
        ).scalar_one()
    return found


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (events, leads, audit, idempotency)
        } | {"states": hash(tuple(connection.execute(sa.select(leads.c.id, leads.c.state).order_by(leads.c.id))))}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert SECRET_TEXT not in response.text
    return body


def an_item(id_: str = "c1", text: str = BENIGN_TEXT, **more: object) -> dict[str, Any]:
    data = {"text": text, "accountId": "a1", "parent": {"id": "t1", "typeId": "track"}}
    return {"id": id_, "typeId": "comment", "data": data, **more}


def test_items_signals_and_plays_become_events(client: Http, engine: Engine) -> None:
    at = "2026-03-01T12:00:00+01:00"
    answers = [
        client.post("/v1/items", json={"items": [an_item(occurredAt=at, eventId="e1")]}),
        client.post(
            "/v1/signals",
            json={"signals": [{"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app",
                               "harm": "spam", "reporterId": "a2", "score": 0.5}]},
        ),
        client.post(
            "/v1/plays",
            json={"plays": [{"subject": {"id": "t1", "typeId": "track"}, "accountId": "a1", "seconds": 31.5}]},
        ),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [202] * 3
    assert answers[0].json() == {"accepted": 1, "duplicates": 0, "eventIds": ["e1"]}
    logged = [x.event for x in event_log.read(engine, 0)]
    assert [type(x.body) for x in logged] == [ItemCreated, SignalReceived, Played]
    assert clock.to_text(logged[0].occurred_at) == "2026-03-01T11:00:00Z"
    assert isinstance(logged[0].body, ItemCreated)
    assert logged[0].body.parent is not None
    assert logged[0].body.parent.id == "t1"
    again = client.post("/v1/items", json={"items": [an_item(eventId="e1"), an_item("c2")]}).json()
    assert (again["accepted"], again["duplicates"]) == (1, 1)


def test_a_request_with_an_idempotency_key_takes_effect_once(client: Http, engine: Engine) -> None:
    body, header = {"items": [an_item(), an_item("c2")]}, {"Idempotency-Key": "k1"}
    first = client.post("/v1/items", json=body, headers=header)
    again = client.post("/v1/items", json=body, headers=header)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(event_log.read(engine, 0)) == 2
    before = counts(engine)
    problem(client.post("/v1/items", json={"items": [an_item("c3")]}, headers=header), 409)
    problem(client.post("/v1/items", json=body, headers={"Idempotency-Key": ""}), 422)
    problem(client.post("/v1/items", json=body, headers={"Idempotency-Key": "x" * 256}), 422)
    assert counts(engine) == before


def test_callers_do_not_share_idempotency_keys(
    client: Http, engine: Engine, key: Callable[..., dict[str, str]]
) -> None:
    header = {"Idempotency-Key": "k1"}
    client.post("/v1/items", json={"items": [an_item()]}, headers=header)
    other = client.post("/v1/items", json={"items": [an_item("c9")]}, headers={**header, **key("events:write")})
    assert other.status_code == 202
    assert len(event_log.read(engine, 0)) == 2


def test_a_failed_request_can_be_retried_with_the_same_key(client: Http, engine: Engine) -> None:
    header, lead = {"Idempotency-Key": "k1"}, put_lead(engine)
    client.post("/v1/leads/claim", json={"reviewer": "ann"})
    problem(client.post(f"/v1/leads/{lead}/release", json={"reviewer": "bob"}, headers=header), 409)
    client.post(f"/v1/leads/{lead}/release", json={"reviewer": "ann"})
    client.post("/v1/leads/claim", json={"reviewer": "bob"})
    assert client.post(f"/v1/leads/{lead}/release", json={"reviewer": "bob"}, headers=header).status_code == 200


def test_scores_by_id_and_by_text_name_their_version(client: Http) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    body = {
        "subjects": [
            {"id": "c1", "typeId": "comment"},
            {"id": "n1", "typeId": "comment", "data": {"text": BENIGN_TEXT}},
            {"id": "n2", "typeId": "comment"},
        ],
        "reasons": True,
    }
    answer = client.post("/v1/score", json=body).json()
    assert clock.from_text(answer["at"]) <= clock.now()
    assert [x["subject"]["id"] for x in answer["results"]] == ["c1", "n1", "n2"]
    (known,), (new,), none = (x["scores"] for x in answer["results"])
    assert known["score"] > 0.9 > 0.1 > new["score"]
    for score in (known, new):
        assert (score["model"], score["modelVersion"], score["harm"], score["role"]) == (
            "leads-spam", "1", "spam", "champion",
        )  # fmt: skip
    explained = known["explanation"]
    assert explained["reasons"][0]["code"] == "TEXT_RESEMBLES_VIOLATIONS"
    parts = explained["base"] + sum(x["weight"] for x in explained["reasons"]) + explained["rest"]
    assert parts == pytest.approx(explained["margin"], abs=1e-5)
    assert "subject_unknown" in new["degraded"]
    assert none == []
    assert [x["errors"] for x in answer["results"][:2]] == [[], []]
    (error,) = answer["results"][2]["errors"]
    assert (error["pointer"], error["status"], error["harm"]) == ("/subjects/2/id", 404, None)


def test_an_invalid_subject_is_an_error_in_its_own_result(client: Http) -> None:
    good = {"id": "n1", "typeId": "comment", "data": {"text": BENIGN_TEXT}}
    bad: list[tuple[object, str]] = [
        (5, ""), ("x", ""), (None, ""), ({}, "/id"), ({"id": "", "typeId": "comment"}, "/id"),
        ({"id": "c1", "typeId": "No Such"}, "/typeId"),
        ({"id": "c1", "typeId": "comment", "data": {"text": 5}}, "/data/text"),
        ({"id": "c1", "typeId": "comment", "data": {"text": "x" * 20_001}}, "/data/text"),
        ({"id": "c1", "typeId": "comment", SECRET_TEXT: 1}, ""),
    ]  # fmt: skip
    sent = [good, *(one for one, _ in bad), good]
    answer = client.post("/v1/score", json={"subjects": sent, "harms": ["spam"]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert len(results) == len(sent)
    assert [len(x["scores"]) for x in results] == [1, *(0 for _ in bad), 1]
    for i, (_, pointer) in enumerate(bad, start=1):
        (error,) = results[i]["errors"]
        # Content is read by the subject's type, once that is known.
        subject = {"id": "c1", "typeId": "comment"} if pointer == "/data/text" else None
        assert (results[i]["subject"], error["status"], error["pointer"]) == (subject, 422, f"/subjects/{i}{pointer}")
    assert SECRET_TEXT not in answer.text
    only_bad = problem(client.post("/v1/score", json={"subjects": [one for one, _ in bad]}), 422)
    assert len(only_bad["errors"]) == len(bad)


def test_if_nothing_can_be_scored_the_response_is_a_problem(client: Http) -> None:
    found = problem(client.post("/v1/score", json={"subjects": [{"id": "c9", "typeId": "comment"}]}), 404)
    assert found["errors"][0]["pointer"] == "/subjects/0/id"


def test_a_reviewer_gets_the_new_content_after_an_edit(client: Http, engine: Engine) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    lead = put_lead(engine)
    (claimed,) = client.post("/v1/leads/claim", json={"reviewer": "ann"}).json()["leads"]
    assert claimed["newContent"] is None
    client.post("/v1/items", json={"items": [an_item(text="what a lovely bass line")]})
    decision = {"reviewer": "ann", "verdict": "violating", "contentVersion": claimed["contentVersion"]}
    assert problem(client.post(f"/v1/leads/{lead}/decision", json=decision), 409)["errors"][0]["pointer"]
    (held,) = client.get("/v1/reviews", params={"reviewer": "ann"}).json()["leads"]
    assert held["subject"]["data"]["text"] == SPAM_TEXT
    assert held["newContent"]["subject"]["data"]["text"] == "what a lovely bass line"
    decision = {"reviewer": "ann", "verdict": "not_violating", "contentVersion": held["newContent"]["contentVersion"]}
    decided = client.post(f"/v1/leads/{lead}/decision", json=decision)
    assert decided.json()["contentVersion"] == held["newContent"]["contentVersion"]


def test_a_lead_that_was_edited_after_its_score_says_so_and_shows_no_reasons(client: Http, engine: Engine) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    lead = put_lead(engine)

    def listed() -> list[bool]:
        pages = client.get("/v1/leads", params={"state": "any"}).json()["leads"]
        return [x["contentChanged"] for x in (*pages, client.get(f"/v1/leads/{lead}").json()["lead"])]

    assert listed() == [False, False]
    client.post("/v1/items", json={"items": [an_item(text="what a lovely song")]})
    assert listed() == [True, True]
    (claimed,) = client.post("/v1/leads/claim", json={"reviewer": "ann"}).json()["leads"]
    assert claimed["subject"]["data"]["text"] == "what a lovely song"
    assert (claimed["contentChanged"], claimed["reasons"]) == (True, [])
    put_lead(engine)
    assert listed() == [False, False]
    (held,) = client.get("/v1/reviews", params={"reviewer": "ann"}).json()["leads"]
    assert (held["contentChanged"], len(held["reasons"])) == (False, 1)


def test_the_queue_over_http(client: Http, engine: Engine) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    client.post("/v1/signals", json={"signals": [
        {"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app"}]})  # fmt: skip
    lead, _ = put_lead(engine), put_lead(engine, "c2", 0.4)
    page = client.get("/v1/leads", params={"limit": 1}).json()
    (top,) = page["leads"]
    assert (top["id"], top["score"], top["model"], top["modelVersion"]) == (lead, 0.8, "leads-spam", "1")
    rest = client.get("/v1/leads", params={"limit": 1, "cursor": page["nextCursor"]}).json()
    assert [x["subject"]["id"] for x in rest["leads"]] == ["c2"]
    assert rest["nextCursor"] is None

    (claimed,) = client.post("/v1/leads/claim", json={"reviewer": "ann"}).json()["leads"]
    assert claimed["subject"]["data"]["text"] == SPAM_TEXT
    assert set(claimed) == {
        "id", "reviewId", "contentVersion", "subject", "harm", "harmTitle", "model", "modelVersion", "reasons",
        "leaseUntil", "newContent", "contentChanged",
    }  # fmt: skip
    assert set(claimed["reasons"][0]) == {"code", "text"}
    assert "0.8" not in json.dumps({**claimed, "leaseUntil": ""})

    decided = client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "ann"}).json()
    assert (decided["state"], decided["leadId"], decided["repeated"]) == ("decided", lead, False)
    detail = client.get(f"/v1/leads/{lead}").json()
    assert detail["lead"]["verdict"] == "violating"
    assert detail["signals"][0]["kind"] == "user_report"
    trail = client.get(f"/v1/leads/{lead}/audit").json()
    assert [x["action"] for x in trail["entries"]] == ["offered", "claimed", "decided"]
    assert [x["id"] for x in client.get("/v1/leads", params={"state": "decided"}).json()["leads"]] == [lead]
    (decision,) = event_log.read_kind(engine, "decision_made")
    assert isinstance(decision.event.body, DecisionMade)
    assert (decision.event.body.verdict, decision.event.body.lead_id) == ("violating", lead)


def test_a_decided_lead_is_overturned_only_by_appeal(client: Http, engine: Engine) -> None:
    lead = put_lead(engine)
    client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "ann"})
    same = client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "ann"})
    assert same.json()["repeated"] is True
    problem(client.post(f"/v1/leads/{lead}/decision", json={"verdict": "not_violating", "reviewer": "bob"}), 409)
    body = {"subject": {"id": "c1", "typeId": "comment"}, "harm": "spam", "verdict": "not_violating", "reviewer": "bob"}
    problem(client.post("/v1/decisions", json=body), 409)
    assert client.post("/v1/decisions", json={**body, "appeal": True}).json()["verdict"] == "not_violating"


def test_models_shows_the_versions_that_serve(client: Http) -> None:
    models = {x["harm"]: x for x in client.get("/v1/models").json()["models"]}
    assert models["spam"] == {
        "harm": "spam", "model": "leads-spam", "serving": "1", "champion": {"version": "1", "loaded": True},
        "canary": None, "challenger": None, "previous": None, "aliases": {"champion": "1"},
        "converged": True, "refused": {},
    }  # fmt: skip


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


def score_of(**subject: object) -> dict[str, Any]:
    return {"subjects": [{"id": "c1", "typeId": "comment", **subject}]}


LONG = "x" * 20_001
A_TRACK = {"id": "t1", "typeId": "track"}
REPORT = {"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app"}
PLAY = {"subject": {"id": "t1", "typeId": "track"}, "accountId": "a1", "seconds": 1}
BAD: list[tuple[str, bytes | dict[str, Any], int, str | None]] = [
    ("/v1/score", b"", 422, None),
    ("/v1/score", b"{", 422, None),
    ("/v1/score", b'{"subjects": [' + SECRET_TEXT.encode(), 422, None),
    ("/v1/score", b"[" * 100_000, 422, None),
    ("/v1/score", b'{"subjects": [{"id": "\xff\xfe"}]}', 422, None),
    ("/v1/score", b'{"subjects": [{"id": NaN, "typeId": "comment"}]}', 422, None),
    ("/v1/score", b'"' + SECRET_TEXT.encode() + b'"', 422, None),
    ("/v1/score", {}, 422, None),
    ("/v1/score", {"subjects": []}, 422, "/subjects"),
    ("/v1/score", {"subjects": [{"id": str(i), "typeId": "comment"} for i in range(1_001)]}, 422, "/subjects"),
    ("/v1/score", {"subjects": [{"id": "", "typeId": "comment"}]}, 422, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "a\n", "typeId": "comment"}]}, 422, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "a", "typeId": SECRET_TEXT}]}, 422, "/subjects/0/typeId"),
    ("/v1/score", {"subjects": [{"id": "a", "typeId": "comment", SECRET_TEXT: 1}]}, 422, "/subjects/0"),
    ("/v1/score", score_of(data={"text": LONG}), 422, "/subjects/0/data/text"),
    ("/v1/score", score_of(data={"text": 5}), 422, "/subjects/0/data/text"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": ["nope"]}, 404, "/harms/0"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": []}, 422, "/harms"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": ["sexism"]}, 503, "/subjects/0"),
    ("/v1/score", score_of(), 404, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "m", "typeId": "mood", "data": {"text": "x"}}]}, 422, "/subjects/0/typeId"),
    ("/v1/items", {"items": [an_item(text=LONG)]}, 422, "/items/0/data/text"),
    ("/v1/items", {"items": [an_item(), an_item(occurredAt="yesterday")]}, 422, "/items/1/occurredAt"),
    ("/v1/items", {"items": [an_item(occurredAt="2026-03-01T12:00:00")]}, 422, "/items/0/occurredAt"),
    ("/v1/items", {"items": [an_item(), an_item(occurredAt="2099-01-01T00:00:00Z")]}, 422, "/items/1/occurredAt"),
    ("/v1/items", {"items": [an_item(occurredAt="1970-01-01T00:00:00Z")]}, 422, "/items/0/occurredAt"),
    ("/v1/items", {"items": [{**A_TRACK, "data": {"durationS": -1}}]}, 422, "/items/0/data/durationS"),
    ("/v1/signals", {"signals": [{**REPORT, "kind": SECRET_TEXT}]}, 422, "/signals/0/kind"),
    ("/v1/signals", {"signals": [REPORT, {**REPORT, "harm": "nope"}]}, 404, "/signals/1/harm"),
    ("/v1/signals", {"signals": [{**REPORT, "score": 1.5}]}, 422, "/signals/0/score"),
    ("/v1/signals", {"signals": [{**REPORT, "kind": "classifier"}]}, 422, "/signals/0/score"),
    ("/v1/plays", {"plays": [{**PLAY, "seconds": -1}]}, 422, "/plays/0/seconds"),
    ("/v1/plays", b'{"plays":[{"subject":{"id":"t","typeId":"track"},"accountId":"a","seconds":Infinity}]}', 422,
     "/plays/0"),
    ("/v1/leads/claim", {"reviewer": "", "n": 1}, 422, "/reviewer"),
    ("/v1/leads/claim", {"reviewer": "ann", "n": 0}, 422, "/n"),
    ("/v1/leads/claim", {"reviewer": "ann", "n": 101}, 422, "/n"),
    ("/v1/leads/claim", {"reviewer": "ann", "harms": ["nope"]}, 404, "/harms"),
    ("/v1/leads/l_none/release", {"reviewer": "ann"}, 404, None),
    ("/v1/leads/%00/release", {"reviewer": "ann"}, 404, None),
    ("/v1/leads/l_none/decision", {"verdict": "violating", "reviewer": "ann"}, 404, None),
    ("/v1/leads/l_none/decision", {"verdict": SECRET_TEXT, "reviewer": "ann"}, 422, "/verdict"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "comment"}, "harm": "spam", "verdict": "violating",
                       "reviewer": "ann"}, 404, "/subject/id"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "track"}, "harm": "spam", "verdict": "violating",
                       "reviewer": "ann"}, 422, "/subject/typeId"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "comment"}, "harm": "nope", "verdict": "violating",
                       "reviewer": "ann"}, 404, "/harm"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(BAD)), ids=[f"{case[0]}-{i}" for i, case in enumerate(BAD)])
def test_bad_input_is_one_clear_problem_and_changes_nothing(
    client: Http, engine: Engine, caplog: pytest.LogCaptureFixture, case: int
) -> None:
    path, body, status, pointer = BAD[case]
    put_lead(engine, "c7")
    before = counts(engine)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with caplog.at_level(logging.DEBUG):
        found = problem(
            client.post(path, content=content, headers={"content-type": "application/json", "Idempotency-Key": "b"}),
            status,
        )
    if pointer is None:
        assert found["errors"] == []
    else:
        assert [x["pointer"] for x in found["errors"]] == [pointer]
    assert found["detail"]
    assert counts(engine) == before
    assert SECRET_TEXT not in caplog.text


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limit": "x"}, 422), ({"limit": "0"}, 422), ({"limit": "201"}, 422), ({"state": "lost"}, 422),
        ({"typeId": "A b"}, 422), ({"typeId": "a\x00"}, 422), ({"harm": "nope"}, 404), ({"cursor": "nope"}, 422),
        ({"cursor": "x" * 600}, 422),
    ],
)  # fmt: skip
def test_bad_parameters_are_problems(client: Http, params: dict[str, str], status: int) -> None:
    found = problem(client.get("/v1/leads", params=params), status)
    assert [x["pointer"] for x in found["errors"]] == ["/" + next(iter(params))]
    assert found["type"] == f"urn:lead-serving:problem:{'not-found' if status == 404 else 'invalid-input'}"
    assert "^" not in json.dumps(found)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/leads", "This route has: cursor, harm, limit, state, typeId."),
        ("GET", f"/v1/leads/{LEAD_ID}", "This route has no query parameters."),
        ("GET", f"/v1/leads/{LEAD_ID}/audit", "This route has no query parameters."),
        ("GET", "/v1/reviews", "This route has: reviewer."),
        ("GET", "/v1/models", "This route has no query parameters."),
        ("POST", "/v1/score", "This route has no query parameters."),
        ("POST", "/v1/items", "This route has no query parameters."),
        ("POST", "/v1/leads/claim", "This route has no query parameters."),
        ("POST", "/v1/decisions", "This route has no query parameters."),
    ],
)
def test_unknown_parameters_are_problems(client: Http, method: str, path: str, allowed: str) -> None:
    sent = {"json": {}} if method == "POST" else {}
    found = problem(client.request(method, path, params={"harms": "spam", "typeid": ""}, **sent), 422)
    assert found["detail"] == f"Unknown query parameter 'harms'. In all, 2 parameters are wrong. {allowed}"
    assert [x["pointer"] for x in found["errors"]] == ["/harms", "/typeid"]


def test_the_name_of_an_unknown_parameter_is_repeated_only_if_it_is_a_name(client: Http) -> None:
    found = problem(client.get("/v1/models", params={SECRET_TEXT: "1"}), 422)
    assert (found["detail"], found["errors"]) == (
        "Unknown query parameter. This route has no query parameters.", []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name", "query"),
    [
        ("/v1/leads", "limit", "limit=2&limit=3"),
        ("/v1/leads", "limit", "limit=2&limit=2&harm=spam"),
        ("/v1/leads", "state", "state=open&state=open"),
        ("/v1/leads", "typeId", "typeId=a&%74ypeId=b"),
        ("/v1/leads", "cursor", "cursor=&cursor="),
        ("/v1/reviews", "reviewer", "reviewer=a&reviewer=b"),
    ],
)
def test_a_parameter_that_is_given_twice_is_a_problem(client: Http, path: str, name: str, query: str) -> None:
    found = problem(client.get(f"{path}?{query}"), 422)
    assert found["detail"] == f"Query parameter '{name}' is given more than once. Give it once."
    assert [x["pointer"] for x in found["errors"]] == [f"/{name}"]


def test_all_wrong_parameters_are_named_at_once(client: Http) -> None:
    found = problem(client.get("/v1/leads?state=open&page=1&limit=2&state=open&limit=3&page=2"), 422)
    assert [x["pointer"] for x in found["errors"]] == ["/page", "/limit", "/state"]


def test_harms_may_be_repeated(client: Http) -> None:
    assert client.get("/v1/leads?harm=spam&harm=spam&limit=2").status_code == 200


def test_pages_ignore_parameters(client: Http) -> None:
    for path in ("/v1/openapi.json", "/livez"):
        assert client.get(path, params={"v": "2"}).status_code == 200, path


def test_one_response_names_every_wrong_entry_of_a_batch(client: Http, engine: Engine) -> None:
    items = [
        an_item(""), an_item(), an_item(occurredAt="yesterday"), {"id": "c1"},
        an_item(occurredAt="2099-01-01T00:00:00Z"),
    ]  # fmt: skip
    found = problem(client.post("/v1/items", json={"items": items}), 422)
    assert [(x["pointer"], x["detail"].split(" ")[0]) for x in found["errors"]] == [
        ("/items/0/id", "Expected"), ("/items/2/occurredAt", "Not"), ("/items/3/typeId", "Object"),
        ("/items/4/occurredAt", "2099-01-01T00:00:00Z"),
    ]  # fmt: skip
    assert found["detail"] == "Expected at least 1 character. In all, 4 entries are wrong."
    signals = [
        {**REPORT, "kind": "?"},
        {**REPORT, "harm": "nope"},
        REPORT,
        {**REPORT, "occurredAt": "2099-01-01T00:00Z"},
    ]
    found = problem(client.post("/v1/signals", json={"signals": signals}), 422)
    assert [x["pointer"] for x in found["errors"]] == ["/signals/0/kind", "/signals/1/harm", "/signals/3/occurredAt"]
    found = problem(client.post("/v1/signals", json={"signals": signals[1:]}), 404)
    assert [x["pointer"] for x in found["errors"]] == ["/signals/0/harm", "/signals/2/occurredAt"]
    assert event_log.read(engine, 0) == []


def test_the_audit_trail_is_written_as_the_rest_of_the_api(client: Http, engine: Engine) -> None:
    client.post("/v1/items", json={"items": [an_item()]})
    lead = put_lead(engine)
    claimed = client.post("/v1/leads/claim", json={"reviewer": "ann"}).json()["leads"][0]
    until = client.post(f"/v1/leads/{lead}/extend", json={"reviewer": "ann"}).json()["leaseUntil"]
    client.post(f"/v1/leads/{lead}/decision", json={"reviewer": "ann", "verdict": "violating"})
    trail = client.get(f"/v1/leads/{lead}/audit").json()["entries"]
    review = {"reviewId": claimed["reviewId"], "contentVersion": claimed["contentVersion"]}
    assert [(x["action"], x["detail"]) for x in trail] == [
        ("offered", {"score": 0.8, "tier": "review", "modelVersion": "1", "predictionId": "p"}),
        ("claimed", {"leaseUntil": claimed["leaseUntil"], **review}),
        ("extended", {"leaseUntil": until}),
        ("decided", {"verdict": "violating", "by": "human", "reason": "", "offset": 2, "oldContent": False, **review}),
    ]


def test_a_body_that_is_nested_too_deeply_is_invalid(client: Http) -> None:
    starts = ('{"items":', '{"subjects":', '{"signals":[{"subject":', '{"plays":{"a":', "")
    for route in ROUTES:
        method, path = route.format(lead_id="l_" + "0" * 24).split()
        for start in starts if method == "POST" else ():
            for nested in ("[" * 1_000_000, '{"a":' * 200_000):
                problem(client.post(f"/v1{path}", content=start + nested), 422)


def test_parameters_that_no_database_can_store_are_refused(client: Http, engine: Engine) -> None:
    lead, asked = put_lead(engine), 0
    for path, methods in client.get("/v1/openapi.json").json()["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            for sent in ("%00", "a%00", "%0A", "%ED%A0%80", "%FF"):
                if parameter["in"] == "path":
                    answer = client.get(f"/v1{path.format(lead_id=sent)}")
                else:
                    answer = client.get(f"/v1{path.format(lead_id=lead)}?{parameter['name']}={sent}")
                # A byte that isn't UTF-8 arrives as U+FFFD, which a reviewer's name may contain.
                allowed = {404, 422} if sent in ("%00", "a%00", "%0A") else {200, 404, 422}
                assert answer.status_code in allowed, (path, parameter["name"], sent, answer.text)
                asked += 1
    assert asked >= 40


def test_unknown_routes_and_methods(client: Http) -> None:
    problem(client.get("/v1/nope"), 404)
    problem(client.get("/nope"), 404)
    found = client.request("DELETE", "/v1/score")
    problem(found, 405)
    assert found.headers["allow"] == "POST"
    problem(client.get("/v1/leads/%00"), 404)


def test_a_too_large_body_is_refused_before_it_is_read(client: Http, engine: Engine) -> None:
    before = counts(engine)
    problem(client.post("/v1/items", content=b"x" * (MAX_BODY_BYTES + 1)), 413)
    problem(client.post("/v1/items", json={"items": [an_item(text="x" * 2_000_000)]}), 422)
    problem(client.post("/v1/items", json={"items": [an_item(text="x" * 2 * 1024 * 1024)]}), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    # Sent in chunks, nothing is announced: reading stops at the limit.
    problem(client.post("/v1/items", content=chunks()), 413)
    problem(client.post("/v1/items", content=b"{}", headers={"content-length": "-5"}), 400)
    assert counts(engine) == before


def test_what_is_not_json_is_refused(client: Http) -> None:
    problem(client.post("/v1/score", content=b"a=b", headers={"content-type": "text/csv"}), 415)


def test_a_valid_request_id_is_kept(client: Http) -> None:
    assert client.get("/v1/models", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/v1/models", headers={"x-request-id": "a b<script>"}).headers["x-request-id"] != "a b<script>"


def test_an_internal_error_reveals_only_the_request_id(
    client: Http, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/v1/items", json={"items": [an_item()]})
    runtime.reader.error = RuntimeError(SECRET_TEXT)  # type: ignore[attr-defined]
    found = problem(client.post("/v1/score", json=score_of()), 500)
    assert found["request_id"] in caplog.text
    assert "RuntimeError in" in caplog.text
    assert SECRET_TEXT not in caplog.text


def test_counters_are_labelled_by_route_template(client: Http, runtime: Runtime, engine: Engine) -> None:
    lead = put_lead(engine)
    client.get(f"/v1/leads/{lead}")
    client.get("/v1/leads/l_none")
    client.get("/v1/anything/else")
    client.post("/v1/score", json=score_of(data={"text": SPAM_TEXT}))
    text = runtime.metrics.text().decode()
    assert 'leads_http_requests_total{method="GET",route="/v1/leads/{lead_id}",status="200"} 1.0' in text
    assert 'leads_http_requests_total{method="GET",route="/v1/leads/{lead_id}",status="404"} 1.0' in text
    assert 'leads_http_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'leads_scores_total{harm="spam",role="champion",tier="auto"} 1.0' in text
    assert lead not in text


def test_times_are_utc_text(client: Http, engine: Engine) -> None:
    put_lead(engine)
    (lead,) = client.get("/v1/leads").json()["leads"]
    at: Micros = clock.from_text(lead["createdAt"])
    assert abs(clock.now() - at) < clock.MINUTE
    assert lead["createdAt"].endswith("Z")


def test_every_invalid_entry_of_a_batch_is_named(client: Http, engine: Engine) -> None:
    """One surrogate, one long text, one fast clock and one unknown harm: each is named, and nothing is stored."""
    good = an_item("c0")
    raw = json.dumps({"items": [good, an_item("c1", text="x" * 20_001), good, {**an_item("c3"), "extra": 1}]})
    found = problem(client.post("/v1/items", content=raw), 422)["errors"]
    assert [x["pointer"].split("/")[2] for x in found] == ["1", "3"]
    lone = raw.replace('"extra": 1', '"eventId": "\\ud800"')
    assert "/items/3" in str(problem(client.post("/v1/items", content=lone), 422)["errors"])
    future = clock.to_text(clock.now() + clock.DAY)
    late = {"items": [good, an_item("c1", occurredAt=future), an_item("c2", occurredAt=future)]}
    pointers = [x["pointer"] for x in problem(client.post("/v1/items", json=late), 422)["errors"]]
    assert pointers == ["/items/1/occurredAt", "/items/2/occurredAt"]
    signal = {"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app"}
    harms = {"signals": [{**signal, "harm": "spma"}, signal, {**signal, "harm": "hta"}]}
    pointers = [x["pointer"] for x in problem(client.post("/v1/signals", json=harms), 404)["errors"]]
    assert pointers == ["/signals/0/harm", "/signals/2/harm"]
    assert event_log.read(engine, 0) == []

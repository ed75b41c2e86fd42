"""The queue over HTTP: what reviewers see, and what becomes of their decisions."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.events import DecisionMade
from tests.support.serving.route_world import (
    an_item,
    problem,
    put_lead,
)
from tests.support.serving.world import SPAM_TEXT, Http


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
        "createdAt", "scoredAt", "leaseUntil", "newContent", "contentChanged",
    }  # fmt: skip
    assert set(claimed["reasons"][0]) == {"code", "text"}
    assert "0.8" not in json.dumps({**claimed, "leaseUntil": "", "createdAt": "", "scoredAt": ""})
    assert (claimed["createdAt"], claimed["scoredAt"]) == (top["createdAt"], top["scoredAt"])

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
    client.post("/v1/leads/claim", json={"reviewer": "ann"})
    client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "ann"})
    same = client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "ann"})
    assert same.json()["repeated"] is True
    refused = client.post(f"/v1/leads/{lead}/decision", json={"verdict": "not_violating", "reviewer": "bob"})
    assert problem(refused, 409)["type"].endswith(":already-decided")
    shown = client.get(f"/v1/leads/{lead}").json()["contentVersion"]
    body = {"subject": {"id": "c1", "typeId": "comment"}, "harm": "spam", "verdict": "not_violating", "reviewer": "bob"}
    problem(client.post("/v1/decisions", json=body), 409)
    unseen = problem(client.post("/v1/decisions", json={**body, "appeal": True}), 422)
    assert unseen["errors"][0]["pointer"] == "/contentVersion"
    assert (
        client.post("/v1/decisions", json={**body, "appeal": True, "contentVersion": shown}).json()["verdict"]
        == "not_violating"
    )


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


def test_times_are_utc_text(client: Http, engine: Engine) -> None:
    put_lead(engine)
    (lead,) = client.get("/v1/leads").json()["leads"]
    at: Micros = clock.from_text(lead["createdAt"])
    assert abs(clock.now() - at) < clock.MINUTE
    assert lead["createdAt"].endswith("Z")


def test_a_verdict_on_a_lead_that_nobody_claimed_says_what_was_shown(client: Http, engine: Engine) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    lead = put_lead(engine)
    shown = client.get(f"/v1/leads/{lead}").json()["contentVersion"]
    client.post("/v1/items", json={"items": [an_item(text="what a lovely bass line")]})
    body = {"verdict": "violating", "reviewer": "ann"}
    named = {"subject": {"id": "c1", "typeId": "comment"}, "harm": "spam"}
    for path, one in ((f"/v1/leads/{lead}/decision", body), ("/v1/decisions", {**body, **named})):
        found = problem(client.post(path, json=one), 422)
        assert (found["errors"][0]["pointer"], "GET /v1/leads/{id}" in found["detail"]) == ("/contentVersion", True)
        assert problem(client.post(path, json={**one, "contentVersion": shown}), 409)["errors"]
    now = client.get(f"/v1/leads/{lead}").json()["contentVersion"]
    assert client.post(f"/v1/leads/{lead}/decision", json={**body, "contentVersion": now}).status_code == 200


def test_the_conflicts_of_the_queue_have_types_of_their_own(client: Http, engine: Engine) -> None:
    lead = put_lead(engine)
    released = client.post(f"/v1/leads/{lead}/release", json={"reviewer": "ann"})
    assert problem(released, 409)["type"].endswith(":not-claimed")
    client.post("/v1/leads/claim", json={"reviewer": "ann"})
    other = client.post(f"/v1/leads/{lead}/decision", json={"verdict": "violating", "reviewer": "bob"})
    assert problem(other, 409)["type"].endswith(":lead-claimed")


def test_a_claim_can_leave_out_leads(client: Http, engine: Engine) -> None:
    first, second = put_lead(engine), put_lead(engine, "c2", 0.4)
    body = {"reviewer": "ann", "n": 2, "exclude": [first]}
    assert [x["id"] for x in client.post("/v1/leads/claim", json=body).json()["leads"]] == [second]
    for wrong in (["c1"], [first] * 101):
        found = problem(client.post("/v1/leads/claim", json={**body, "exclude": wrong}), 422)
        assert found["errors"][0]["pointer"].startswith("/exclude")


@pytest.mark.parametrize("name", ["", " ", " ann", "ann ", "an\nn", "ann\x00", "\u200bann", "a\u202enn", "\x9fann"])
def test_reviewers_have_names_that_people_can_tell_apart(client: Http, engine: Engine, name: str) -> None:
    lead = put_lead(engine)
    ruling = {"verdict": "violating", "reviewer": name}
    for path, body in (
        ("/v1/leads/claim", {"reviewer": name}),
        (f"/v1/leads/{lead}/release", {"reviewer": name}),
        (f"/v1/leads/{lead}/extend", {"reviewer": name}),
        (f"/v1/leads/{lead}/decision", ruling),
        ("/v1/decisions", {**ruling, "subject": {"id": "c1", "typeId": "comment"}, "harm": "spam"}),
    ):
        assert problem(client.post(path, json=body), 422)["errors"][0]["pointer"] == "/reviewer"
    assert problem(client.get("/v1/reviews", params={"reviewer": name}), 422)["errors"][0]["pointer"] == "/reviewer"


def test_reasons_are_text(client: Http, engine: Engine) -> None:
    lead = put_lead(engine)
    client.post("/v1/leads/claim", json={"reviewer": "Ann Ö. 安"})
    ruling = {"verdict": "violating", "reviewer": "Ann Ö. 安"}
    for reason in ("a\x00b", "\x1b[31m", "a\x7f"):
        answer = client.post(f"/v1/leads/{lead}/decision", json={**ruling, "reason": reason})
        assert problem(answer, 422)["errors"][0]["pointer"] == "/reason"
    several = {**ruling, "reason": "Sells coins.\n\tTwice.\r\n"}
    assert client.post(f"/v1/leads/{lead}/decision", json=several).status_code == 200

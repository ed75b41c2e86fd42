"""Items with declared fields over HTTP: they are accepted, scored by their judged texts, and shown to reviewers."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from leads import clock
from leads.api.declared import Declared
from leads.db import event_log, keys
from leads.events import ItemCreated, Subject
from leads.platform.declaration import Platform
from leads.policies import QueuePolicy
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, Http, make_stack

DECLARED = Platform.model_validate(
    {
        "version": 1,
        "types": {
            "account": {"title": "Account"},
            "comment": {
                "title": "Comment",
                "fields": {
                    "title": {"kind": "text", "judged": True},
                    "text": {"kind": "text", "judged": True},
                    "posted_at": {"kind": "time"},
                    "spam_filter": {"kind": "number", "shown": False},
                    "phone": {"kind": "category", "personal": True},
                },
            },
        },
        "events": {
            "follow": {"title": "Follow", "about": ["account"]},
            "payout": {
                "title": "Payout",
                "about": ["account"],
                "by": "optional",
                "fields": {
                    "amount": {"kind": "number", "unit": "euros", "required": True},
                    "paid_at": {"kind": "time"},
                    "iban": {"kind": "category", "personal": True},
                },
            },
            "pinned": {"title": "Pinned", "unknown_fields": "keep"},
        },
    }
)
AT = "2026-03-01T12:00:00Z"


@pytest.fixture
def declared(runtime: Runtime) -> Runtime:
    return replace(runtime, declared=Declared(DECLARED))


@pytest.fixture
def client(declared: Runtime, portal: BlockingPortal) -> Http:
    key = keys.create(declared.engine, "x", ["admin"], reviewer="ann").text
    return Http(make_stack(declared), portal, headers={"x-api-key": key})


def item(id_: str, **data: Any) -> dict[str, Any]:
    return {"id": id_, "typeId": "comment", "data": data}


def send(client: Http, *items: dict[str, Any]) -> None:
    answer = client.post("/v1/items", json={"items": items})
    assert answer.status_code == 202, answer.text


def scores(client: Http, *subjects: dict[str, Any]) -> list[tuple[float, list[str]]]:
    answer = client.post("/v1/score", json={"subjects": subjects, "harms": ["spam"]}).json()
    return [(one["scores"][0]["score"], one["scores"][0]["degraded"]) for one in answer["results"]]


def test_the_fields_are_stored_and_the_judged_texts_are_scored(client: Http, declared: Runtime) -> None:
    send(client, item("c1", title=SPAM_TEXT, text="", postedAt=AT, spamFilter=0.25, accountId="a1"))
    (logged,) = event_log.read(declared.engine, 0)
    body = logged.event.body
    assert isinstance(body, ItemCreated)
    assert body.values == {"title": SPAM_TEXT, "posted_at": clock.from_text(AT), "spam_filter": 0.25}
    by_id = {"id": "c1", "typeId": "comment"}
    (stored, _), (sent, _), (other, _) = scores(
        client, by_id, item("new", title=SPAM_TEXT), item("other", title=BENIGN_TEXT)
    )
    assert stored == pytest.approx(sent)
    assert stored > other


def test_a_field_overrides_only_itself(client: Http) -> None:
    send(client, item("c1", title=BENIGN_TEXT, text=SPAM_TEXT))
    by_id = {"id": "c1", "typeId": "comment"}
    (stored, none), (same, also_none), (changed, given), (whole, _) = scores(
        client,
        by_id,
        {**by_id, "data": {"title": BENIGN_TEXT}},
        {**by_id, "data": {"text": BENIGN_TEXT}},
        item("new", title=BENIGN_TEXT, text=BENIGN_TEXT),
    )
    assert (none, also_none) == (["account_unknown"], ["account_unknown"])
    assert "text_given" in given
    assert same == stored
    assert changed == pytest.approx(whole)
    assert changed < stored


def test_reviewers_see_the_shown_fields(client: Http, declared: Runtime) -> None:
    send(client, item("c1", title="A title", text=SPAM_TEXT, postedAt=AT, spamFilter=0.25))
    one = Offer(Subject("comment", "c1"), "spam", 0.9, "review", "1", "p", (), 3.0, 1.0, clock.now())
    with declared.engine.begin() as connection:
        offer(connection, [one], clock.now(), QueuePolicy())
    (claimed,) = client.post("/v1/leads/claim", json={}).json()["leads"]
    assert claimed["subject"]["data"] == {"title": "A title", "text": SPAM_TEXT, "postedAt": AT}
    detail = client.get(f"/v1/leads/{claimed['id']}").json()
    assert detail["subject"]["data"]["spamFilter"] == 0.25


def test_every_wrong_item_and_subject_is_named(client: Http) -> None:
    answer = client.post(
        "/v1/items",
        json={"items": [item("c1", titel="x"), item("c2", title="ok"), {"id": "m1", "typeId": "mood"}]},
    )
    assert answer.status_code == 422
    assert [x["pointer"] for x in answer.json()["errors"]] == ["/items/0/data/titel", "/items/2/typeId"]
    body = {"subjects": [item("c1", title=5), item("c2", title="ok")], "harms": ["spam"]}
    results = client.post("/v1/score", json=body).json()["results"]
    assert [x["pointer"] for x in results[0]["errors"]] == ["/subjects/0/data/title"]
    assert len(results[1]["scores"]) == 1


def test_types_are_listed_with_their_schema(client: Http) -> None:
    account, comment = client.get("/v1/types").json()["types"]
    assert (account["typeId"], account["fields"]) == ("account", [])
    assert [field["name"] for field in comment["fields"]] == ["title", "text", "postedAt", "spamFilter", "phone"]
    assert [field["judged"] for field in comment["fields"]] == [True, True, False, False, False]
    assert comment["schema"]["properties"]["postedAt"]["title"] == "Posted at"
    assert comment["schema"]["additionalProperties"] is False
    schemas = client.get("/v1/openapi.json").json()["components"]["schemas"]
    for name in ("SubjectIn", "ItemIn"):
        assert schemas[name]["properties"]["data"]["$ref"] == "#/components/schemas/ItemData"
    names = [one["$ref"].rpartition("/")[2] for one in schemas["ItemData"]["anyOf"]]
    assert names == ["AnyItemData", "AccountData", "CommentData"]
    described = schemas["CommentData"]
    assert described["description"] == "An item of type `comment`: Comment."
    fields = ["title", "text", "postedAt", "spamFilter", "phone"]
    assert list(described["properties"]) == ["accountId", "parent", *fields]
    posted_at, null = described["properties"]["postedAt"]["anyOf"]
    assert (posted_at["type"], posted_at["format"], null) == ("string", "date-time", {"type": "null"})


def events_of(declared: Runtime) -> list[Any]:
    return [logged.event for logged in event_log.read(declared.engine, 0)]


def test_declared_events_are_stored_once_with_their_fields(client: Http, declared: Runtime) -> None:
    sent = [
        {"kind": "follow", "accountId": "a1", "subject": {"id": "a2", "typeId": "account"}, "eventId": "f1"},
        {"kind": "payout", "accountId": "a1", "data": {"amount": 12.5, "paidAt": AT}, "occurredAt": AT},
        {"kind": "payout", "subject": {"id": "a3", "typeId": "account"}, "data": {"amount": 1}},
        {"kind": "pinned", "accountId": "a1", "subject": {"id": "c1", "typeId": "comment"}, "data": {"where": "top"}},
    ]
    answer = client.post("/v1/events", json={"events": sent})
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 4
    assert client.post("/v1/events", json={"events": sent[:1]}).json()["duplicates"] == 1
    follow, payout, other, pinned = [event.body for event in events_of(declared)]
    assert (follow.kind, follow.account_id, follow.subject.subject) == ("follow", "a1", Subject("account", "a2"))
    assert payout.fields == {"amount": 12.5, "paid_at": clock.from_text(AT)}
    assert payout.subject.subject == Subject("account", "a1")
    assert (other.account_id, other.subject.id) == (None, "a3")
    assert bytes(pinned.unknown["where"]) == b'"top"'


@pytest.mark.parametrize(
    ("sent", "pointer", "says"),
    [
        ({"kind": "folow", "accountId": "a1"}, "/events/0/kind", "Kinds in platform.yaml: follow, payout, pinned."),
        ({"kind": "follow"}, "/events/0/accountId", "accountId is missing. Say which account did it."),
        ({"kind": "payout", "data": {"amount": 1}}, "/events/0/accountId", "Send accountId, a subject, or both."),
        (
            {"kind": "follow", "accountId": "a1", "subject": {"id": "c1", "typeId": "comment"}},
            "/events/0/subject/typeId",
            "Follow isn't about 'comment'. It is about: account.",
        ),
        ({"kind": "payout", "accountId": "a1"}, "/events/0/data/amount", "Amount is missing."),
        (
            {"kind": "payout", "accountId": "a1", "data": {"amount": "1"}},
            "/events/0/data/amount",
            "Expected a number, got a text.",
        ),
        ({"kind": "follow", "accountId": "a1", "data": {"x": 1}}, "/events/0/data/x", "unknown field `x`"),
    ],
)
def test_an_event_that_does_not_fit_its_kind_is_refused(
    client: Http, declared: Runtime, sent: dict[str, Any], pointer: str, says: str
) -> None:
    answer = client.post("/v1/events", json={"events": [sent]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert says in f"{error['detail']} {answer.json()['detail']}"
    assert not events_of(declared)


def test_kinds_are_listed_with_their_schema(client: Http) -> None:
    follow, payout, pinned = client.get("/v1/types").json()["events"]
    assert (follow["kind"], follow["about"], follow["byRequired"]) == ("follow", ["account"], True)
    assert [(field["name"], field["unit"]) for field in payout["fields"]] == [
        ("amount", "euros"),
        ("paidAt", None),
        ("iban", None),
    ]
    assert payout["schema"]["required"] == ["amount"]
    assert pinned["about"] is None
    schemas = client.get("/v1/openapi.json").json()["components"]["schemas"]
    assert schemas["EventIn"]["properties"]["data"]["$ref"] == "#/components/schemas/EventData"
    names = [one["$ref"].rpartition("/")[2] for one in schemas["EventData"]["anyOf"]]
    assert names == ["AnyEventData", "FollowEventData", "PayoutEventData", "PinnedEventData"]
    assert schemas["PayoutEventData"]["required"] == ["amount"]


def test_values_of_fields_are_never_logged(client: Http, caplog: pytest.LogCaptureFixture) -> None:
    secret = "+49-30-901820"
    caplog.set_level(logging.DEBUG)
    send(client, item("c1", text=secret, phone=secret))
    scores(client, item("c2", text=secret, phone=secret))
    event = {"id": "e1", "kind": "payout", "about": {"typeId": "account", "id": "a1"}, "data": {"iban": secret}}
    refused = [
        ("/v1/items", {"items": [item("c3", phone=[secret])]}),
        ("/v1/items", {"items": [item("c4", **{secret: 1})]}),
        ("/v1/score", {"subjects": [item("c5", postedAt=secret, phone=secret)]}),
        ("/v1/events", {"events": [event]}),
    ]
    for path, body in refused:
        client.post(path, json=body)
    assert caplog.records
    assert secret not in "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)

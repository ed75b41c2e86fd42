"""Items with declared fields over HTTP: they are accepted, scored by their judged texts, and shown to reviewers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from leads import clock
from leads.api.item_data import ItemReader
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
                },
            },
        },
    }
)
AT = "2026-03-01T12:00:00Z"


@pytest.fixture
def declared(runtime: Runtime) -> Runtime:
    return replace(runtime, items=ItemReader(DECLARED))


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
    assert [x["pointer"] for x in answer.json()["errors"]] == ["/items/0/data", "/items/2/typeId"]
    body = {"subjects": [item("c1", title=5), item("c2", title="ok")], "harms": ["spam"]}
    results = client.post("/v1/score", json=body).json()["results"]
    assert [x["pointer"] for x in results[0]["errors"]] == ["/subjects/0/data/title"]
    assert len(results[1]["scores"]) == 1


def test_types_are_listed_with_their_schema(client: Http) -> None:
    account, comment = client.get("/v1/types").json()["types"]
    assert (account["typeId"], account["fields"]) == ("account", [])
    assert [field["name"] for field in comment["fields"]] == ["title", "text", "postedAt", "spamFilter"]
    assert [field["judged"] for field in comment["fields"]] == [True, True, False, False]
    assert comment["schema"]["properties"]["postedAt"]["title"] == "Posted at"
    assert comment["schema"]["additionalProperties"] is False
    document = client.get("/v1/openapi.json").json()
    schema = document["paths"]["/items"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = schema["properties"]["items"]["items"]["properties"]["data"]["anyOf"]
    assert [one["title"] for one in described] == ["Account", "Comment"]

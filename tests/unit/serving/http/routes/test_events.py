"""What is sent becomes events, and a request that is repeated takes effect once."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.events import ItemCreated, Played, SignalReceived
from tests.support.serving.route_world import (
    an_item,
    counts,
    problem,
    put_lead,
)
from tests.support.serving.world import Http


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

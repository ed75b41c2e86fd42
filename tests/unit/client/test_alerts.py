"""What both clients send about alerts and silences, and the real service's answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import msgspec
import pytest

from leads_client.errors import NotFound
from serving.http.openapi.alert_docs import RESPONSES
from tests.support.client_world import Face


def example(name: str) -> httpx.Response:
    """The documented response with this name."""
    (found,) = (examples for type_, examples in RESPONSES.items() if type_.__name__ == name)
    return httpx.Response(200, content=msgspec.json.encode(next(iter(found.values()))))


Answering = Callable[..., tuple[Face, list[httpx.Request]]]


def test_alerts_are_listed_page_by_page(answering: Answering) -> None:
    first = httpx.Response(
        200, content=example("AlertsOut").content.replace(b'"nextCursor":null', b'"nextCursor":"c2"')
    )
    client, sent = answering(first, example("AlertsOut"))
    found = client.iter_alerts(["spam"], state="any", rule="inputs_missing", page_size=1)
    assert [one.id for one in found] == ["17", "17"]
    assert [dict(request.url.params) for request in sent] == [
        {"harm": "spam", "state": "any", "limit": "1", "rule": "inputs_missing"},
        {"harm": "spam", "state": "any", "limit": "1", "rule": "inputs_missing", "cursor": "c2"},
    ]


def test_an_alert(answering: Answering) -> None:
    client, sent = answering(example("AlertDetail"))
    found = client.alert("17")
    assert (found.alert.slice, found.affected.open_leads) == ({"column": "account.plays_24h"}, 41)
    assert sent[0].url.path == "/v1/monitoring/alerts/17"


def test_changes_carry_an_idempotency_key(answering: Answering) -> None:
    client, sent = answering(example("AlertOut"), example("SilenceOut"), example("SilenceOut"))
    assert client.acknowledge_alert("17", "on it").state == "acknowledged"
    assert client.silence("*", "2026-03-01T16:00:00Z", "load test", harm="spam").id == "4"
    assert client.end_silence("4").id == "4"
    assert [(request.method, request.url.path) for request in sent] == [
        ("POST", "/v1/monitoring/alerts/17/acknowledge"),
        ("POST", "/v1/monitoring/silences"),
        ("DELETE", "/v1/monitoring/silences/4"),
    ]
    assert [msgspec.json.decode(request.content) for request in sent[:2]] == [
        {"note": "on it"},
        {"rule": "*", "until": "2026-03-01T16:00:00Z", "why": "load test", "harm": "spam"},
    ]
    assert all(request.headers["idempotency-key"] for request in sent)


def test_silences_and_errors(answering: Answering) -> None:
    missing = httpx.Response(
        404, json={"type": "x", "title": "Not found", "status": 404, "detail": "No.", "errors": []}
    )
    client, _ = answering(example("SilencesOut"), missing)
    assert [one.rule for one in client.silences().silences] == ["inputs_missing"]
    with pytest.raises(NotFound):
        client.alert("99")

"""The routes of alerts and silences: what they answer, which keys they require, and what limited keys see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from leads import clock
from leads.alerting.alert import Affected, Alert, Detail, Happened, OtherSlice, Retraining
from leads.clock import Micros
from leads.db import keys
from leads.db.monitoring import alerts
from serving.runtime import Runtime
from tests.support.serving.world import Http, make_stack

AT = 1_780_012_800_000_000
DETAIL = Detail(
    title="An input of spam is missing more often than in training: a",
    moved="inputs.missing is 0.9; the limit is 0.2.",
    metric="inputs.missing",
    method="wilson",
    n=100,
    window_since=AT,
    window_until=AT + clock.HOUR,
    todo="Check the feed.",
    page="inputs-missing",
    before=0.01,
    slices=(OtherSlice("column=b", 0.8, 0.6),),
    also=(Happened(AT, "Version 3 became champion (me)."),),
    affected=Affected(3, 4, "/v1/leads?harm=spam&state=open"),
    retraining=Retraining("done", AT, "Version 4 was registered."),
)


@pytest.fixture
def make_key(runtime: Runtime) -> Callable[..., dict[str, str]]:
    def make(*scopes: str, harms: list[str] | None = None, reviewer: str | None = None) -> dict[str, str]:
        name = f"key of {'-'.join(scopes)}"
        return {"x-api-key": keys.create(runtime.engine, name, scopes, harms=harms, reviewer=reviewer).text}

    return make


@pytest.fixture
def http(runtime: Runtime, portal: BlockingPortal, make_key: Callable[..., dict[str, str]]) -> Http:
    return Http(make_stack(runtime), portal, headers=make_key("monitoring:read", "monitoring:write"))


def put(runtime: Runtime, *, harm: str = "spam", slice_: str = "column=a", state: Any = "firing", **more: Any) -> str:
    one = Alert(
        0, "inputs_missing", harm, slice_, "3", "page", state, AT, AT, AT, None, None, None, 0.9, 0.8, None, 0.2, 0.6,
        DETAIL, None, None, None,
    )._replace(**more)  # fmt: skip
    with runtime.engine.begin() as connection:
        return str(alerts.add(connection, one))


def later(runtime: Runtime, span: Micros = clock.HOUR) -> str:
    return clock.to_text(runtime.clock() + span)


def test_alerts_are_listed_newest_first_page_by_page(http: Http, runtime: Runtime) -> None:
    ids = [put(runtime, slice_=f"column={i}") for i in range(5)]
    first = http.get("/v1/monitoring/alerts", params={"limit": 2}).json()
    assert [one["id"] for one in first["alerts"]] == [ids[4], ids[3]]
    second = http.get("/v1/monitoring/alerts", params={"limit": 3, "cursor": first["nextCursor"]}).json()
    assert [one["id"] for one in second["alerts"]] == [ids[2], ids[1], ids[0]]
    assert second["nextCursor"] is None
    assert http.get("/v1/monitoring/alerts", params={"cursor": "x"}).status_code == 422


def test_filters(http: Http, runtime: Runtime) -> None:
    put(runtime)
    put(runtime, harm="sexism")
    put(runtime, state="resolved", resolved_at=AT, slice_="column=old")
    put(runtime, rule="skew", slice_="")

    def found(**params: Any) -> list[tuple[str, str, str]]:
        listed = http.get("/v1/monitoring/alerts", params=params).json()["alerts"]
        return [(one["rule"], one["harm"], one["state"]) for one in listed]

    assert len(found()) == 3
    assert found(harm="sexism") == [("inputs_missing", "sexism", "firing")]
    assert found(rule="skew") == [("skew", "spam", "firing")]
    assert found(state="resolved") == [("inputs_missing", "spam", "resolved")]
    assert len(found(state="any")) == 4
    assert http.get("/v1/monitoring/alerts", params={"harm": "spma"}).status_code == 404
    assert http.get("/v1/monitoring/alerts", params={"state": "shut"}).status_code == 422


def test_an_alert_comes_with_its_explanation(http: Http, runtime: Runtime) -> None:
    found = http.get(f"/v1/monitoring/alerts/{put(runtime)}").json()
    assert found["alert"]["slice"] == {"column": "a"}
    assert found["alert"]["runbook"] == "docs/runbook/inputs-missing.md"
    assert found["slices"] == [{"slice": {"column": "b"}, "value": 0.8, "deviation": 0.6}]
    assert found["also"] == [{"at": clock.to_text(AT), "what": "Version 3 became champion (me)."}]
    assert found["affected"] == {"openLeads": 3, "decided": 4, "query": "/v1/leads?harm=spam&state=open"}
    assert found["retraining"]["result"] == "Version 4 was registered."


@pytest.mark.parametrize("id_", ["0", "99", "x", "1" * 30, "-1", "1e3"])
def test_an_alert_that_does_not_exist(http: Http, id_: str) -> None:
    assert http.get(f"/v1/monitoring/alerts/{id_}").status_code == 404
    assert http.post(f"/v1/monitoring/alerts/{id_}/acknowledge", json={}).status_code == 404
    assert http.request("DELETE", f"/v1/monitoring/silences/{id_}").status_code == 404


def test_acknowledging(http: Http, runtime: Runtime) -> None:
    path = f"/v1/monitoring/alerts/{put(runtime)}/acknowledge"
    found = http.post(path, json={"note": "the feed stopped"}).json()
    assert (found["state"], found["note"]) == ("acknowledged", "the feed stopped")
    assert found["acknowledgedBy"] == "key of monitoring:read-monitoring:write"
    again = http.post(path, json={}).json()
    assert again == found
    resolved = put(runtime, state="resolved", resolved_at=AT, slice_="column=old")
    assert http.post(f"/v1/monitoring/alerts/{resolved}/acknowledge", json={}).status_code == 409


def test_silences(http: Http, runtime: Runtime) -> None:
    body = {"rule": "inputs_missing", "harm": "spam", "until": later(runtime), "why": "a test"}
    made = http.post("/v1/monitoring/silences", json=body).json()
    assert (made["rule"], made["harm"], made["active"], made["endedAt"]) == ("inputs_missing", "spam", True, None)
    everything = http.post(
        "/v1/monitoring/silences", json={"rule": "*", "until": later(runtime), "why": "a test"}
    ).json()
    assert (everything["rule"], everything["harm"]) == ("*", None)
    listed = http.get("/v1/monitoring/silences").json()["silences"]
    assert [one["id"] for one in listed] == [everything["id"], made["id"]]
    ended = http.request("DELETE", f"/v1/monitoring/silences/{made['id']}").json()
    assert not ended["active"]
    again = http.request("DELETE", f"/v1/monitoring/silences/{made['id']}").json()
    assert again["endedAt"] == ended["endedAt"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"rule": "nothing"}, 422),
        ({"rule": "Inputs"}, 422),
        ({"harm": "spma"}, 404),
        ({"until": "2026-01-01T00:00:00Z"}, 422),
        ({"until": "2099-01-01T00:00:00Z"}, 422),
        ({"until": "soon"}, 422),
        ({"why": ""}, 422),
    ],
)
def test_invalid_silences(http: Http, runtime: Runtime, changes: dict[str, str], status: int) -> None:
    body = {"rule": "inputs_missing", "until": later(runtime), "why": "a test", **changes}
    found = http.post("/v1/monitoring/silences", json=body)
    assert found.status_code == status
    assert [error["pointer"] for error in found.json()["errors"]] == [f"/{next(iter(changes))}"]
    assert http.get("/v1/monitoring/silences").json()["silences"] == []


def test_a_silence_is_made_once_per_idempotency_key(http: Http, runtime: Runtime) -> None:
    body = {"rule": "*", "until": later(runtime), "why": "a test"}
    first, second = (
        http.post("/v1/monitoring/silences", json=body, headers={"idempotency-key": "once"}) for _ in range(2)
    )
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len(http.get("/v1/monitoring/silences").json()["silences"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/alerts", "monitoring:read"),
        ("GET", "/alerts/1", "monitoring:read"),
        ("GET", "/silences", "monitoring:read"),
        ("POST", "/alerts/1/acknowledge", "monitoring:write"),
        ("POST", "/silences", "monitoring:write"),
        ("DELETE", "/silences/1", "monitoring:write"),
    ],
)
def test_scopes(http: Http, make_key: Callable[..., dict[str, str]], method: str, path: str, scope: str) -> None:
    others = [one for one in keys.SCOPES if one not in (scope, "admin", "metrics")]
    refused = http.request(method, f"/v1/monitoring{path}", json={}, headers=make_key(*others))
    assert refused.status_code == 403
    assert scope in refused.json()["detail"]


def test_a_limited_key_sees_nothing_of_other_harms(
    http: Http, runtime: Runtime, make_key: Callable[..., dict[str, str]]
) -> None:
    own, other, platform = put(runtime), put(runtime, harm="sexism"), put(runtime, harm="", slice_="source=x")
    hidden = http.post("/v1/monitoring/silences", json={"rule": "*", "until": later(runtime), "why": "secret"}).json()
    limited = make_key("monitoring:read", "monitoring:write", harms=["spam"])

    def ask(method: str, path: str, **options: Any) -> Any:
        return http.request(method, f"/v1/monitoring{path}", headers=limited, **options)

    assert [one["id"] for one in ask("GET", "/alerts").json()["alerts"]] == [own]
    for hidden_alert in (other, platform):
        assert ask("GET", f"/alerts/{hidden_alert}").status_code == 404
        assert ask("POST", f"/alerts/{hidden_alert}/acknowledge", json={}).status_code == 404
    assert ask("GET", "/alerts", params={"harm": "sexism"}).status_code == 403
    assert ask("GET", "/silences").json()["silences"] == []
    assert ask("DELETE", f"/silences/{hidden['id']}").status_code == 404
    body = {"rule": "skew", "until": later(runtime), "why": "a test"}
    refused = ask("POST", "/silences", json=body)
    assert refused.status_code == 403
    assert "Name one of: spam." in refused.json()["detail"]
    assert ask("POST", "/silences", json={**body, "harm": "spam"}).status_code == 200
    assert ask("POST", "/silences", json={**body, "harm": "sexism"}).status_code == 403

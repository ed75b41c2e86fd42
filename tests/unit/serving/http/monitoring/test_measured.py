"""What was measured, over HTTP: filters, pages, and what a key for some harms may see."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow, write
from leads.db.monitoring.tables import alerts
from leads.db.monitoring.verdicts import UNCLEAR, VERDICT
from serving.runtime import Runtime
from tests.support.serving.world import Http, make_stack

pytestmark = pytest.mark.slow

NOW = clock.now()
HOUR = NOW // clock.HOUR * clock.HOUR


def row(name: str, value: float | None, harm: str = "spam", slice_: str = "", hours_ago: int = 0) -> MetricRow:
    until = HOUR - hours_ago * clock.HOUR
    return MetricRow(
        harm, "3" if harm else "", slice_, until - clock.DAY, until, name, value, None, None, 90, "counted"
    )


ROWS = [
    row(VERDICT, 1.0, slice_="against=reference"),
    row("drift.input", 0.3, slice_="against=reference;column=account.plays_24h"),
    row("performance.precision", 0.8)._replace(lo=0.7, hi=0.9),
    row("performance.precision", 0.7, hours_ago=24),
    row("performance.precision", 0.6, "sexism"),
    row(VERDICT, None, "sexism", slice_="against=reference"),
    row("events.volume", 12.0, "", "kind=play;source=mobile"),
]


def client_of(runtime: Runtime, portal: BlockingPortal, **given: Any) -> Http:
    key = keys.create(runtime.engine, "watcher", ["monitoring:read"], **given)
    return Http(make_stack(runtime), portal, headers={"x-api-key": key.text})


def alert(rule: str, harm: str, severity: str, state: str = "firing") -> dict[str, Any]:
    times = {"since": NOW, "opened_at": NOW, "seen_at": NOW, "resolved_at": NOW if state == "resolved" else None}
    about = {"rule": rule, "harm": harm, "slice": rule, "version": "3", "severity": severity, "state": state}
    return {**about, **times, "limit": 0.0, "detail": {}}


@pytest.fixture
def stored(engine: Engine) -> None:
    with engine.begin() as connection:
        write(connection, "run", ROWS)
        connection.execute(
            sa.insert(alerts),
            [
                alert("skew", "spam", "page"),
                alert("input_drift", "spam", "digest"),
                alert("score_drift", "spam", "digest", "acknowledged"),
                alert("queue_old", "spam", "page", "resolved"),
                alert("feed_stopped", "", "page"),
            ],
        )
        id_ = runs.begin(connection, "host", NOW - clock.MINUTE)
        runs.end(connection, id_, NOW, until=HOUR, notes=["spam: 3 predictions left out."], failed=True)
        runs.begin(connection, "other", NOW)


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal, stored: None) -> Http:
    return client_of(runtime, portal)


@pytest.fixture
def limited(runtime: Runtime, portal: BlockingPortal, stored: None) -> Http:
    return client_of(runtime, portal, harms=["sexism"])


def names(answer: Any) -> list[tuple[str, str | None]]:
    assert answer.status_code == 200, answer.text
    return [(one["name"], one["harm"]) for one in answer.json()["metrics"]]


def test_values_are_listed_newest_first(client: Http) -> None:
    answer = client.get("/v1/monitoring/metrics")
    assert len(names(answer)) == len(ROWS)
    assert answer.json()["metrics"][-1] == {
        "name": "performance.precision",
        "harm": "spam",
        "version": "3",
        "slice": {},
        "since": clock.to_text(HOUR - 2 * clock.DAY),
        "until": clock.to_text(HOUR - clock.DAY),
        "value": 0.7,
        "lo": None,
        "hi": None,
        "n": 90,
        "method": "counted",
    }
    (platform,) = [one for one in answer.json()["metrics"] if one["harm"] is None]
    assert platform["slice"] == {"kind": "play", "source": "mobile"}
    assert platform["version"] is None


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"harm": "sexism", "name": "performance.precision"}, [("performance.precision", "sexism")]),
        ({"harm": ["spam", "sexism"], "name": "performance.precision", "limit": 2}, 2),
        ({"slice": "against=reference;column=account.plays_24h"}, [("drift.input", "spam")]),
        ({"slice": ""}, 3),
        ({"since": clock.to_text(HOUR - clock.HOUR)}, 6),
        ({"until": clock.to_text(HOUR - clock.HOUR)}, [("performance.precision", "spam")]),
        ({"name": "no.such"}, []),
    ],
)
def test_filters(client: Http, params: dict[str, Any], found: Any) -> None:
    listed = names(client.get("/v1/monitoring/metrics", params=params))
    assert (len(listed) if isinstance(found, int) else listed) == found


def test_pages_follow_each_other(client: Http) -> None:
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/monitoring/metrics", params=params)
        seen += names(answer)
        cursor = answer.json()["nextCursor"]
        if cursor is None:
            break
    assert len(seen) == len(ROWS)


@pytest.mark.parametrize(
    ("params", "status", "pointer"),
    [
        ({"harm": "nothing"}, 404, "/harm"),
        ({"since": "yesterday"}, 422, "/since"),
        ({"until": "13.13.2026"}, 422, "/until"),
        ({"cursor": "x"}, 422, "/cursor"),
        ({"limit": 0}, 422, "/limit"),
        ({"name": "no such; --"}, 422, "/name/0"),
        ({"nam": "x"}, 422, "/nam"),
    ],
)
def test_invalid_requests(client: Http, params: dict[str, Any], status: int, pointer: str) -> None:
    answer = client.get("/v1/monitoring/metrics", params=params)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_the_overview_of_all_harms(client: Http, runtime: Runtime) -> None:
    found = client.get("/v1/monitoring/summary").json()
    assert found["run"]["state"] == "failed"
    assert found["run"]["notes"] == ["spam: 3 predictions left out."]
    assert found["platformAlerts"] == {"page": 1, "digest": 0}
    harms = {one["harm"]: one for one in found["harms"]}
    assert set(harms) == set(runtime.policies.harms)
    spam = harms["spam"]
    assert (spam["verdict"], spam["verdictUntil"]) == ("drifted", clock.to_text(HOUR))
    assert spam["alerts"] == {"page": 1, "digest": 2}
    assert [(one["name"], one["value"], one["lo"]) for one in spam["figures"]] == [("performance.precision", 0.8, 0.7)]
    assert harms["sexism"]["verdict"] is None
    assert harms["stream_manipulation"] == {
        "harm": "stream_manipulation",
        "verdict": None,
        "verdictUntil": None,
        "alerts": {"page": 0, "digest": 0},
        "figures": [],
    }


def test_a_change_that_could_not_be_seen_is_not_called_stable(client: Http, runtime: Runtime) -> None:
    unclear = row(VERDICT, None, "harassment", slice_="against=reference")._replace(method=f"{UNCLEAR}: too wide")
    with runtime.engine.begin() as connection:
        write(connection, "run", [unclear])
    harms = {one["harm"]: one for one in client.get("/v1/monitoring/summary").json()["harms"]}
    assert (harms["harassment"]["verdict"], harms["harassment"]["verdictUntil"]) == ("unclear", clock.to_text(HOUR))


def test_runs(client: Http) -> None:
    found = client.get("/v1/monitoring/runs", params={"limit": 1}).json()["runs"]
    assert [(one["host"], one["state"], one["finishedAt"]) for one in found] == [("other", "running", None)]
    assert len(client.get("/v1/monitoring/runs").json()["runs"]) == 2


def test_a_key_for_one_harm_learns_nothing_about_others(limited: Http) -> None:
    seen = set(names(limited.get("/v1/monitoring/metrics")))
    assert seen == {("performance.precision", "sexism"), (VERDICT, "sexism")}
    assert limited.get("/v1/monitoring/metrics", params={"harm": "spam"}).status_code == 403
    summary = limited.get("/v1/monitoring/summary")
    assert [one["harm"] for one in summary.json()["harms"]] == ["sexism"]
    assert summary.json()["platformAlerts"] is None
    for path in ("summary", "runs", "metrics"):
        assert "spam" not in limited.get(f"/v1/monitoring/{path}").text


def test_another_scope_is_not_enough(runtime: Runtime, portal: BlockingPortal) -> None:
    key = keys.create(runtime.engine, "reader", ["leads:read"])
    client = Http(make_stack(runtime), portal, headers={"x-api-key": key.text})
    answer = client.get("/v1/monitoring/summary")
    assert answer.status_code == 403
    assert "monitoring:read" in answer.json()["detail"]

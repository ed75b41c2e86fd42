"""What is recorded about the use of keys: when each was last used, and each request that needed the scope admin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.access import uses
from leads.db.access.rotation import rotate
from leads.db.access.uses import AdminUse, read_admin
from leads.db.tables import api_keys
from leads.errors import Unavailable
from serving.http.access import key_uses
from serving.http.access.key_cache import KeyCache
from serving.http.access.key_uses import EVERY_S, KeyUses
from serving.observe.metrics_updates import update_queue
from serving.runtime import Runtime
from tests.support.serving.world import Http, all_routes, make_stack

pytestmark = pytest.mark.slow

SUBJECT = {"id": "c1", "typeId": "comment"}
ITEM = {"items": [{**SUBJECT, "data": {"text": "x"}}]}
VERDICT = {"verdict": "violating", "subject": SUBJECT, "harm": "spam", "reason": "my own words"}


class Caller:
    """Sends requests, and reads what was recorded about them."""

    def __init__(self, runtime: Runtime, portal: BlockingPortal) -> None:
        self.runtime = runtime
        self.engine = runtime.engine
        self.http = Http(make_stack(runtime, all_routes), portal)

    def send(self, key: keys.CreatedKey, method: str, path: str, **options: Any) -> int:
        return self.http.request(method, path, headers={"x-api-key": key.text}, **options).status_code

    def recorded(self) -> list[tuple[str, str, tuple[str, ...], int]]:
        """Method, route, scopes and status of each use of admin, oldest first."""
        self.runtime.uses.write()
        return [(x.method, x.route, x.scopes, x.status) for x in read_admin(self.engine)[::-1]]


@pytest.fixture
def caller(runtime: Runtime, portal: BlockingPortal) -> Caller:
    return Caller(runtime, portal)


# The scope admin


def test_each_request_that_needs_admin_is_recorded_with_its_outcome(caller: Caller) -> None:
    admin = keys.create(caller.engine, "Ann's laptop", ["admin"])
    assert caller.send(admin, "POST", "/v1/items", json=ITEM) == 202
    assert caller.send(admin, "POST", "/v1/items", json={"items": [{}]}) == 422
    assert caller.send(admin, "GET", "/v1/leads?limit=5") == 200
    assert caller.send(admin, "GET", "/v1/leads/l_secret") == 404
    assert caller.send(admin, "POST", "/v1/score", json={"subjects": [{**SUBJECT, "data": {"text": "x"}}]}) == 200
    assert caller.send(admin, "POST", "/v1/decisions", json={**VERDICT, "reviewer": "bob"}) == 200
    assert caller.recorded() == [
        ("POST", "/v1/items", ("events:write",), 202),
        ("POST", "/v1/items", ("events:write",), 422),
        ("GET", "/v1/leads", ("leads:read",), 200),
        ("GET", "/v1/leads/{lead_id}", ("leads:read",), 404),
        ("POST", "/v1/score", ("score",), 200),
        ("POST", "/v1/decisions", ("leads:decide", "act_as"), 200),
    ]
    (*_, first) = read_admin(caller.engine)
    assert (first.key_id, first.name, len(first.request_id)) == (admin.key.id, "Ann's laptop", 24)
    assert abs(first.at - clock.now()) < clock.HOUR
    everything = repr(read_admin(caller.engine))
    for private in (admin.text.split("_", 2)[2], "my own words", "l_secret", "limit=5", "bob"):
        assert private not in everything


def test_requests_that_do_not_need_admin_are_not_recorded(caller: Caller) -> None:
    both = keys.create(caller.engine, "x", ["admin", "score", "leads:read"])
    assert caller.send(both, "GET", "/v1/leads") == 200
    assert caller.send(both, "POST", "/v1/score", json={"subjects": [{**SUBJECT, "data": {"text": "x"}}]}) == 200
    # Any key may read these.
    only = keys.create(caller.engine, "y", ["admin"])
    for path in ("/v1/models", "/v1/types", "/v1/harms", "/metrics"):
        assert caller.send(only, "GET", path) == 200
    # This one may not do it at all.
    weak = keys.create(caller.engine, "z", ["score"])
    assert caller.send(weak, "GET", "/v1/leads") == 403
    assert caller.recorded() == []
    assert caller.send(both, "POST", "/v1/items", json=ITEM) == 202
    assert caller.recorded() == [("POST", "/v1/items", ("events:write",), 202)]


def test_a_use_of_admin_for_another_harm_is_recorded_as_refused(caller: Caller) -> None:
    limited = keys.create(caller.engine, "x", ["admin"], harms=["sexism"])
    assert caller.send(limited, "GET", "/v1/leads?harm=spam") == 403
    assert caller.recorded() == [("GET", "/v1/leads", ("leads:read",), 403)]


def test_a_request_that_fails_inside_is_recorded_as_failed(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = keys.create(caller.engine, "x", ["admin"])
    monkeypatch.setattr("serving.http.lead_requests.queue_stats", lambda *_: 1 / 0)
    assert caller.send(admin, "GET", "/v1/leads/stats") == 500
    assert caller.recorded() == [("GET", "/v1/leads/stats", ("leads:read",), 500)]


def test_the_response_to_a_use_of_admin_is_sent_once_it_is_recorded(caller: Caller) -> None:
    admin = keys.create(caller.engine, "x", ["admin"])
    caller.runtime.uses.start()
    for n in range(1, 6):
        assert caller.send(admin, "GET", "/v1/leads/stats") == 200
        assert len(read_admin(caller.engine)) == n


def use(n: int) -> AdminUse:
    return AdminUse(n, "k", "x", "GET", "/v1/leads", ("leads:read",), 200, f"r{n}")


def test_uses_are_kept_while_the_database_is_down(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, real, tried = KeyUses(any_engine), uses.record_admin, threading.Semaphore(0)
    monkeypatch.setattr(key_uses, "_RETRY_S", 0.01)
    monkeypatch.setattr(key_uses, "MAX_WAITING", 3)

    def down(*_: object) -> None:
        tried.release()
        raise Unavailable("The database is not responding.")

    monkeypatch.setattr(key_uses, "record_admin", down)
    recorder.start()
    try:
        stored = [recorder.record(use(n)) for n in range(2)]
        for _ in range(3):
            assert tried.acquire(timeout=30)
        recorder.check()
        stored.append(recorder.record(use(2)))
        with pytest.raises(Unavailable, match="Uses of the scope admin can't be recorded"):
            recorder.check()
        monkeypatch.setattr(key_uses, "record_admin", real)
        for one in stored:
            assert one is not None
            one.result(timeout=30)
        recorder.check()
        assert [x.at for x in read_admin(any_engine)] == [2, 1, 0]
    finally:
        recorder.close()


def test_a_request_that_needs_admin_is_refused_if_it_cannot_be_recorded(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "MAX_WAITING", 0)
    admin = keys.create(caller.engine, "x", ["admin"])
    own = keys.create(caller.engine, "y", ["admin", "leads:read"])
    assert caller.send(admin, "GET", "/v1/leads") == 503
    assert caller.send(own, "GET", "/v1/leads") == 200
    assert caller.send(admin, "GET", "/metrics") == 200


def test_everything_is_written_when_the_process_ends(any_engine: Engine) -> None:
    made = keys.create(any_engine, "x", ["score"]).key
    recorder = KeyUses(any_engine, clock_=lambda: 7)
    recorder.start()
    recorder.note(made.id)
    recorder.record(use(1))
    recorder.close()
    assert keys.listing(any_engine)[0].last_used_at == 7
    assert read_admin(any_engine) == [use(1)]


# Last uses


class Clocks:
    seconds = 100.0

    def timer(self) -> float:
        return self.seconds

    def now(self) -> int:
        return int(self.seconds * clock.SECOND)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def statements(any_engine: Engine) -> Iterator[list[str]]:
    """The updates that are sent to the database."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("UPDATE"):
            found.append(statement)

    sa.event.listen(any_engine, "before_cursor_execute", note)
    yield found
    sa.event.remove(any_engine, "before_cursor_execute", note)


def test_a_last_use_is_written_once_a_minute(any_engine: Engine, clocks: Clocks, statements: list[str]) -> None:
    made = keys.create(any_engine, "x", ["score"]).key

    def last_used() -> float | None:
        found = keys.listing(any_engine)[0].last_used_at
        return None if found is None else found / clock.SECOND

    recorder = KeyUses(any_engine, clock_=clocks.now, timer=clocks.timer)
    recorder.write()
    assert (last_used(), statements) == (None, [])
    for _ in range(10):
        recorder.note(made.id)
        recorder.write()
        clocks.seconds += 5
    assert (last_used(), len(statements)) == (100.0, 1)
    clocks.seconds += EVERY_S
    recorder.write()
    # The last use before that minute ended.
    assert (last_used(), len(statements)) == (145.0, 2)
    clocks.seconds += EVERY_S
    recorder.write()
    assert len(statements) == 2


def test_a_clock_that_is_behind_does_not_undo_a_later_use(any_engine: Engine, clocks: Clocks) -> None:
    made = keys.create(any_engine, "x", ["score"]).key
    ahead, behind = Clocks(), Clocks()
    behind.seconds = 10.0
    for one in (ahead, behind):
        recorder = KeyUses(any_engine, clock_=one.now, timer=one.timer)
        recorder.note(made.id)
        recorder.write()
    assert keys.listing(any_engine)[0].last_used_at == 100 * clock.SECOND


def test_requests_note_their_keys_without_waiting_for_the_database(caller: Caller) -> None:
    used, wrong, unused = (keys.create(caller.engine, name, ["score"]) for name in ("used", "wrong", "unused"))
    before = clock.now()
    assert caller.send(used, "GET", "/v1/models") == 200
    other_secret = f"{wrong.text[:16]}{'x' * 43}"
    assert caller.send(wrong._replace(text=other_secret), "GET", "/v1/models") == 401
    found = {key.id: key.last_used_at for key in keys.listing(caller.engine)}
    assert set(found.values()) == {None}
    caller.runtime.uses.write()
    found = {key.id: key.last_used_at for key in keys.listing(caller.engine)}
    assert before <= (found[used.key.id] or 0) <= clock.now()
    assert found[wrong.key.id] is found[unused.key.id] is None


# The scope metrics


def test_a_key_for_metrics_alone_can_do_nothing_else(caller: Caller) -> None:
    key = keys.create(caller.engine, "prometheus", ["metrics"])
    assert caller.send(key, "GET", "/metrics") == 200
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/v1/types"),
        ("GET", "/v1/harms"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/docs"),
        ("GET", "/docs.json"),
        ("GET", "/"),
        ("GET", "/metrics/"),
        ("GET", "/v1/metrics"),
        ("GET", "/static_content/swagger-ui.css"),
        ("GET", "/v1/leads"),
        ("POST", "/score"),
        ("POST", "/v1/items"),
    ):
        answer = caller.http.request(method, path, json={}, headers={"x-api-key": key.text})
        assert answer.status_code == 403, path
        assert answer.json()["detail"] == "This key can only read /metrics. Use a key with another scope than metrics."
    limited = keys.create(caller.engine, "one harm", ["metrics"], harms=["sexism"])
    assert 'harm="spam"' not in caller.http.get("/metrics", headers={"x-api-key": limited.text}).text


@pytest.mark.parametrize("scope", keys.SCOPES)
def test_every_key_may_read_the_metrics(caller: Caller, scope: str) -> None:
    assert caller.send(keys.create(caller.engine, "x", [scope]), "GET", "/metrics") == 200


def test_the_metrics_show_how_many_keys_end_soon(caller: Caller) -> None:
    made = keys.create(caller.engine, "x", ["metrics"], expires_at=clock.now() + 10 * clock.DAY)
    update_queue(caller.runtime)
    text = caller.http.get("/metrics", headers={"x-api-key": made.text}).text
    assert "leads_api_keys_expiring 1.0" in text
    rotate(caller.engine, "x", overlap=clock.HOUR, expires_at=clock.now() + 90 * clock.DAY)
    update_queue(caller.runtime)
    assert "leads_api_keys_expiring 0.0" in caller.http.get("/metrics", headers={"x-api-key": made.text}).text


# Rotated keys


def test_a_retry_with_the_new_key_changes_nothing(caller: Caller) -> None:
    old = keys.create(caller.engine, "x", ["events:write"])
    new, _ = rotate(caller.engine, "x", overlap=clock.HOUR)
    sent = {"items": [{**SUBJECT, "eventId": "e1", "data": {"text": "x"}}]}
    for key in (old, new):
        answer = caller.http.post("/v1/items", json=ITEM, headers={"x-api-key": key.text, "idempotency-key": "a"})
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert answer.headers["idempotency-replayed"] == "true"
    counts = [caller.http.post("/v1/items", json=sent, headers={"x-api-key": key.text}).json() for key in (old, new)]
    assert [(x["accepted"], x["duplicates"]) for x in counts] == [(1, 0), (0, 1)]


def test_both_keys_share_one_rate_limit(caller: Caller) -> None:
    old = keys.create(caller.engine, "x", ["score"], rate=0.001)
    new, _ = rotate(caller.engine, "x", overlap=clock.HOUR)
    assert [caller.send(key, "GET", "/v1/models") for key in (old, new)] == [200, 429]


def test_an_expired_key_gets_its_own_error(caller: Caller) -> None:
    made = keys.create(caller.engine, "x", ["score"], expires_at=clock.now() + clock.HOUR)
    assert caller.send(made, "GET", "/v1/models") == 200
    with caller.engine.begin() as connection:
        connection.execute(sa.update(api_keys).values(expires_at=clock.SECOND))
    fresh = Caller(replace(caller.runtime, keys=KeyCache(caller.engine)), caller.http._portal)
    answer = fresh.http.get("/v1/models", headers={"x-api-key": made.text})
    assert answer.status_code == 401
    assert answer.json()["detail"] == (
        f"This API key expired at 1970-01-01T00:00:01Z. To renew it, an operator runs: leads keys rotate {made.key.id}"
    )

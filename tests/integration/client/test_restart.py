"""Clients of the real service: while it restarts, and while their keys are rotated and revoked."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log, keys
from leads.db.access.rotation import rotate
from leads.db.access.uses import read_admin
from leads.errors import LeadsError
from leads.settings import Settings
from leads_client import Client, subject
from tests.support.serving.served import free_port, served
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = pytest.mark.slow

TARGET = ["serving.service:LeadServing"]
# Longer than the client's default, because a busy machine takes long to start the service.
PATIENCE_S = 300.0


class Callers:
    """Threads that score and send items, one call after the other, and what came of it."""

    def __init__(self, url: str, key: str, n: int) -> None:
        self.sent: list[str] = []
        self.event_ids: list[str] = []
        self.errors: list[str] = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._client = Client(url, key, retry_for_s=PATIENCE_S)
        self._threads = [threading.Thread(target=self._run) for _ in range(n)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            id_ = f"c{next(self._numbers)}"
            self.sent.append(id_)
            try:
                (result,) = self._client.score([subject("comment", id_, text=SPAM_TEXT)]).results
                assert result.scores
                self.event_ids += self._client.items([subject("comment", id_, text=SPAM_TEXT)]).event_ids
            except (LeadsError, AssertionError) as error:
                self.errors.append(str(error))

    def wait_for(self, more: int) -> None:
        """Wait until this many more items were accepted, or a call failed."""
        until, enough = time.monotonic() + PATIENCE_S, len(self.event_ids) + more
        while len(self.event_ids) < enough and not self.errors and time.monotonic() < until:
            time.sleep(0.05)

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._client.close()


@pytest.mark.timeout(900)
def test_a_restart_loses_no_call_and_repeats_none(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam")
    port = free_port()
    key = keys.create(engine, "x", ["score", "events:write"], rate=0).text
    with served(settings, key, TARGET, port=port):
        callers = Callers(f"http://127.0.0.1:{port}", key, 4)
        callers.wait_for(20)
    try:
        # The service has stopped, while calls were waiting for it.
        with served(settings, key, TARGET, port=port):
            callers.wait_for(20)
            callers.end()
    finally:
        callers.end()
    assert callers.errors == []
    assert len(callers.sent) > 40
    logged = [x.event.body.subject.id for x in event_log.read(engine, 0)]  # type: ignore[union-attr]
    assert sorted(logged) == sorted(callers.sent)
    assert len(set(callers.event_ids)) == len(callers.event_ids) == len(logged)


@pytest.mark.timeout(900)
def test_every_process_of_an_instance_refuses_a_revoked_key(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam")
    ready = keys.create(engine, "ready", ["score"])
    old = keys.create(engine, "boss", ["admin"], rate=0)
    with served(settings, ready.text, TARGET, workers=2) as http:

        def answers(key: keys.CreatedKey) -> list[int]:
            """The statuses of 30 requests on as many connections, so that each process gets some."""
            headers = {"x-api-key": key.text, "connection": "close"}
            return [http.get("/v1/leads/stats", headers=headers).status_code for _ in range(30)]

        assert answers(old) == [200] * 30
        new, _ = rotate(engine, "boss", overlap=clock.DAY)
        # The new key works at once in every process, and the old one still does.
        assert answers(new) == answers(old) == [200] * 30
        for key in (old, new):
            keys.revoke(engine, key.key.id)
        time.sleep(keys.CACHE_S)
        assert answers(old) == answers(new) == [401] * 30
    # What the processes recorded adds up.
    used = read_admin(engine, limit=1_000)
    assert len(used) == len({use.request_id for use in used}) == 90
    assert {use.key_id for use in used} == {old.key.id, new.key.id}
    assert {key.id for key in keys.listing(engine) if key.last_used_at} == {old.key.id, new.key.id}

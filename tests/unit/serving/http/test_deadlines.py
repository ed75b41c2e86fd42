"""Requests and a database that is locked: what gets an error was not written, and scoring goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import deadline, event_log, keys
from leads.db.engine import reading
from leads.db.tables import leads, log_head
from leads.errors import Unavailable
from leads.events import Subject
from leads.policies import QueuePolicy
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from tests.support.serving.world import Http, make_stack

pytestmark = pytest.mark.slow

DEADLINE_S = 1.0


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Another writer holds the database's write lock."""
    with engine.begin() as connection:
        event_log.lock_head(connection)
        if connection.dialect.name == "postgresql":
            # SQLite has one lock for everything.
            connection.execute(sa.text("LOCK TABLE reviews IN EXCLUSIVE MODE"))
        yield


@pytest.fixture
def key(runtime: Runtime) -> str:
    return keys.create(runtime.engine, "x", ["admin"], reviewer="ann").text


def client_of(runtime: Runtime, portal: BlockingPortal, key: str, timeout_s: float) -> Http:
    return Http(make_stack(runtime, timeout_s=timeout_s), portal, headers={"x-api-key": key})


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal, key: str) -> Http:
    """For requests that are to run out of time."""
    return client_of(runtime, portal, key, DEADLINE_S)


@pytest.fixture
def patient(runtime: Runtime, portal: BlockingPortal, key: str) -> Http:
    """For requests that must not, however busy the machine is."""
    return client_of(runtime, portal, key, 60.0)


def items(n: int) -> dict[str, object]:
    return {"items": [{"id": f"c{n}", "typeId": "comment", "eventId": f"e{n}", "data": {"text": "x"}}]}


def in_parallel(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_what_got_503_is_not_committed_later(client: Http, patient: Http, runtime: Runtime) -> None:
    with locked(runtime.engine):
        calls = [lambda n=n: client.post("/v1/items", json=items(n)) for n in range(12)]
        answers = in_parallel(calls)  # type: ignore[arg-type]
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    # The lock is free again: whatever was still waiting would be written now.
    assert patient.post("/v1/items", json=items(99)).status_code == 202
    assert [logged.event.id for logged in event_log.read(runtime.engine, 0)] == ["e99"]


def test_a_claim_that_got_503_leases_nothing(client: Http, patient: Http, runtime: Runtime) -> None:
    now = clock.now()
    one = Offer(Subject("comment", "c1"), "spam", 0.9, "review", "1", "p", (), 3.0, 1.0, now)
    with runtime.engine.begin() as connection:
        offer(connection, [one], now, QueuePolicy())
    with locked(runtime.engine):
        assert client.post("/v1/leads/claim", json={}).status_code == 503
    with reading(runtime.engine) as connection:
        assert connection.execute(sa.select(leads.c.state)).scalars().all() == ["open"]
    assert len(patient.post("/v1/leads/claim", json={}).json()["leads"]) == 1


def test_writers_that_wait_do_not_stop_scoring_or_new_keys(client: Http, patient: Http, runtime: Runtime) -> None:
    other = keys.create(runtime.engine, "new", ["score"]).text
    done = threading.Event()
    seen: list[int] = []

    def score() -> None:
        body = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": "hello"}}], "harms": ["spam"]}
        seen.append(patient.post("/v1/score", json=body, headers={"x-api-key": other}).status_code)
        done.set()

    with locked(runtime.engine):
        writers = [threading.Thread(target=lambda n=n: client.post("/v1/items", json=items(n))) for n in range(16)]
        for writer in writers:
            writer.start()
        scorer = threading.Thread(target=score)
        scorer.start()
        # The lock stays until the scores are there: they do not wait for the writers.
        assert done.wait(60)
    for thread in [*writers, scorer]:
        thread.join()
    assert seen == [200]


def test_a_write_that_has_begun_tells_how_it_ended_though_time_is_up(runtime: Runtime, portal: BlockingPortal) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(60)
        return "committed"

    async def cancelled_in_between() -> str:
        task = asyncio.ensure_future(runtime.write(work))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        go_on.set()
        return await task

    assert portal.call(cancelled_in_between) == "committed"


def test_a_write_that_still_waits_for_a_thread_is_given_up(runtime: Runtime, portal: BlockingPortal) -> None:
    go_on, ran = threading.Event(), threading.Event()

    async def cancelled_while_waiting() -> None:
        busy = [
            asyncio.ensure_future(runtime.write(go_on.wait)) for _ in range(int(runtime.threads.writes.total_tokens))
        ]
        while runtime.threads.writes.available_tokens:
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(runtime.write(ran.set))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await asyncio.gather(*busy)

    portal.call(cancelled_while_waiting)
    assert not ran.is_set()


def write_slowly(engine: Engine) -> None:
    with deadline.transaction(engine) as connection:
        event_log.lock_head(connection)
        connection.execute(sa.update(log_head).values(offset=7))
        while deadline.remaining() > 0:
            time.sleep(0.01)


def test_no_commit_begins_after_the_deadline(any_engine: Engine) -> None:
    token = deadline.set_deadline(0.2)
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match="nothing was written"):
                write_slowly(any_engine)
    finally:
        deadline.reset(token)
    with reading(any_engine) as connection:
        assert event_log.head(connection).offset == 0

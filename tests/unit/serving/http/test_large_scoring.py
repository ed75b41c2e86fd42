"""Requests that score a lot of text: they leave threads to others, stop in time, and are charged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import deadline, event_log, keys
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, SubjectRef
from leads.predictions.log import PredictionLog
from serving.http.rate_limits import RateLimits
from serving.runtime import Runtime
from serving.scoring.planning import HarmPlanner
from serving.scoring.texts.limits import Limits
from tests.support.serving.world import BENIGN_TEXT, Http, make_stack

LARGE = 20
STORED = {"subjects": [{"id": f"c{i}", "typeId": "comment"} for i in range(LARGE)]}


@pytest.fixture
def stored(engine: Engine) -> None:
    """Comments that take a lot of text to score."""
    with engine.begin() as connection:
        event_log.append(
            connection,
            "test",
            [
                Event(f"e{i}", clock.now(), ItemCreated(SubjectRef("comment", f"c{i}"), "a1", text=f"{i} " * 6_600))
                for i in range(LARGE)
            ],
        )


def client_of(runtime: Runtime, portal: BlockingPortal, name: str, rate: float | None = 0.0) -> Http:
    return Http(
        make_stack(runtime), portal, {"x-api-key": keys.create(runtime.engine, name, ["score"], rate=rate).text}
    )


class Holding:
    """Lets scoring of a lot of text wait until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.entered.release()
        assert self.go_on.wait(60)
        yield
        with self._lock:
            self.running -= 1


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Holding:
    held, plan = Holding(), HarmPlanner.plan

    def waits(planner: HarmPlanner, inputs: Any, *args: Any) -> Any:
        if len(inputs) < LARGE:
            return plan(planner, inputs, *args)
        with held():
            return plan(planner, inputs, *args)

    monkeypatch.setattr(HarmPlanner, "plan", waits)
    return held


def test_another_keys_request_is_served_while_large_ones_run(
    runtime: Runtime, portal: BlockingPortal, stored: None, holding: Holding
) -> None:
    large, other = client_of(runtime, portal, "large"), client_of(runtime, portal, "other")
    small = {"subjects": [{"id": "x", "typeId": "comment", "data": {"text": BENIGN_TEXT}}]}
    with ThreadPoolExecutor(10) as pool:
        running = [pool.submit(large.post, "/v1/score", json=STORED) for _ in range(10)]
        for _ in range(int(runtime.threads.large_scores.total_tokens)):
            assert holding.entered.acquire(timeout=60)
        for _ in range(3):
            assert other.post("/v1/score", json=small).status_code == 200
        assert not any(answer.done() for answer in running)
        holding.go_on.set()
        assert {answer.result().status_code for answer in running} == {200}
    assert holding.most == runtime.threads.large_scores.total_tokens < runtime.threads.scores.total_tokens


def test_a_request_that_takes_too_long_is_503_and_stops(
    runtime: Runtime, portal: BlockingPortal, stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[object] = []
    monkeypatch.setattr(PredictionLog, "append", lambda log, batch: logged.append(batch))
    plan = HarmPlanner.plan

    def slow(planner: HarmPlanner, *args: Any) -> Any:
        deadline.expire()
        return plan(planner, *args)

    monkeypatch.setattr(HarmPlanner, "plan", slow)
    answer: httpx.Response = client_of(runtime, portal, "large").post("/v1/score", json=STORED)
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:lead-serving:problem:unavailable"
    assert "fewer subjects" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert not logged


def test_a_cancelled_requests_thread_ends_and_counts_until_then(runtime: Runtime, portal: BlockingPortal) -> None:
    begun, checks, ended = threading.Event(), threading.Event(), threading.Event()

    def work(_: Limits) -> None:
        begun.set()
        try:
            assert checks.wait(60)
            while True:
                deadline.check()
        finally:
            ended.set()

    async def cancelled() -> None:
        token = deadline.set_deadline(3_600)
        scoring = asyncio.ensure_future(runtime.score(1_000, work))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        scoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scoring
        deadline.reset(token)
        scores = runtime.threads.scores
        assert scores.available_tokens == scores.total_tokens - 1
        checks.set()
        while scores.available_tokens < scores.total_tokens:
            await asyncio.sleep(0.01)

    portal.call(cancelled)
    assert ended.is_set()


def test_work_that_still_waits_for_a_thread_never_begins_after_it_was_cancelled(
    runtime: Runtime, portal: BlockingPortal
) -> None:
    go_on, ran = threading.Event(), threading.Event()

    async def cancelled_while_waiting() -> None:
        scores = runtime.threads.scores
        busy = [asyncio.ensure_future(runtime.score(1_000, lambda _: go_on.wait(60))) for _ in range(6)]
        while scores.available_tokens:
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(runtime.score(1_000, lambda _: ran.set()))
        while not scores.statistics().tasks_waiting:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await asyncio.gather(*busy)

    portal.call(cancelled_while_waiting)
    assert not ran.is_set()


def test_scoring_past_the_deadline_is_unavailable(runtime: Runtime, portal: BlockingPortal) -> None:
    def late(_: Limits) -> None:
        raise deadline.OutOfTime

    async def scored() -> None:
        await runtime.score(1_000, late)

    with pytest.raises(Unavailable, match="took too long"):
        portal.call(scored)


def test_stored_text_is_charged_and_what_comes_at_once_is_refused(
    runtime: Runtime, portal: BlockingPortal, stored: None, holding: Holding
) -> None:
    object.__setattr__(runtime, "rates", RateLimits(timer=lambda: 0.0))
    client = client_of(runtime, portal, "limited", rate=10.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/score", json=STORED)
        assert holding.entered.acquire(timeout=60)
        # Charged before the texts are scored: about 350 KiB.
        second = client.post("/v1/score", json=STORED)
        assert second.status_code == 429
        assert int(second.headers["retry-after"]) > 5
        assert "stored text" in second.json()["detail"]
        holding.go_on.set()
        assert first.result().status_code == 200


def test_a_little_stored_text_is_charged_too(runtime: Runtime, portal: BlockingPortal, stored: None) -> None:
    object.__setattr__(runtime, "rates", RateLimits(timer=lambda: 0.0))
    client = client_of(runtime, portal, "limited", rate=5.0)
    # Ten tokens: the request takes one, its 20 KB of text four or five.
    body = {"subjects": STORED["subjects"][:1]}
    assert [client.post("/v1/score", json=body).status_code for _ in range(4)].count(200) < 4


@pytest.mark.slow
def test_a_late_request_waits_for_a_large_one_only_until_its_deadline(
    runtime: Runtime, portal: BlockingPortal, stored: None, holding: Holding
) -> None:
    key = keys.create(runtime.engine, "large", ["score"], rate=0.0).text
    hasty = Http(make_stack(runtime, timeout_s=0.5), portal, {"x-api-key": key})
    patient = client_of(runtime, portal, "patient")
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(patient.post, "/v1/score", json=STORED) for _ in range(2)]
        for _ in running:
            assert holding.entered.acquire(timeout=60)
        assert hasty.post("/v1/score", json=STORED).status_code == 503
        holding.go_on.set()
        assert {answer.result().status_code for answer in running} == {200}
    assert holding.most == 2

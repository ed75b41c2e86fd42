"""Which scoring work runs in the event loop, where every other request would wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log, keys
from leads.events import Event, ItemCreated, SubjectRef
from serving.runtime import Runtime
from tests.support.serving.world import BENIGN_TEXT, FakeReader, Http, make_stack

LONG = "a_ " * 1_666


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    assert isinstance(runtime.reader, FakeReader)
    runtime.reader.reads_inline = True
    made = keys.create(runtime.engine, "scores", ["score"])
    return Http(make_stack(runtime), portal, headers={"x-api-key": made.text})


@pytest.fixture
def event_loop(portal: BlockingPortal) -> int:
    """The thread of the event loop."""
    return portal.call(threading.get_ident)


def given(n: int, text: str) -> dict[str, Any]:
    return {"subjects": [{"id": f"c{i}", "typeId": "comment", "data": {"text": f"{i} {text}"}} for i in range(n)]}


def test_a_few_short_texts_are_scored_in_the_event_loop(client: Http, event_loop: int, scored_in: list[int]) -> None:
    assert client.post("/v1/score", json=given(10, BENIGN_TEXT)).status_code == 200
    assert scored_in == [event_loop]


@pytest.mark.parametrize(("n", "text"), [(10, LONG), (2, LONG), (1, "早" * 5_000)])
def test_long_texts_are_scored_in_a_thread_however_few_they_are(
    client: Http, event_loop: int, scored_in: list[int], n: int, text: str
) -> None:
    answer = client.post("/v1/score", json=given(n, text))
    assert len(answer.json()["results"]) == n
    assert len(scored_in) == 1
    assert event_loop not in scored_in


def test_a_long_text_is_long_for_a_harm_that_is_not_judged_by_text(
    client: Http, event_loop: int, scored_in: list[int]
) -> None:
    body = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": LONG * 3}}]}
    client.post("/v1/score", json=body | {"harms": ["stream_manipulation"]})
    assert len(scored_in) == 1
    assert event_loop not in scored_in


def test_stored_texts_count_too_until_their_scores_are_cached(
    client: Http, event_loop: int, scored_in: list[int], engine: Engine
) -> None:
    body = ItemCreated(SubjectRef("comment", "c1"), "a1", text=LONG * 3)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event("e1", clock.now(), body)])
    for _ in range(2):
        assert client.post("/v1/score", json={"subjects": [{"id": "c1", "typeId": "comment"}]}).status_code == 200
    assert scored_in[0] != event_loop
    assert scored_in[1:] == [event_loop]

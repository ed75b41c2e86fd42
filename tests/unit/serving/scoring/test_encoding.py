"""Texts are encoded once, by the worker, as they arrive; and no request waits for an encoder that it doesn't need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log, keys
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.settings import Settings
from models.text import sentence
from models.text.tuned import TunedEncoder
from serving.runtime import Runtime
from serving.worker.lead_scoring import LeadScorer
from tests.support.encoders.registered import publish_encoding
from tests.support.serving.world import FakeReader, Http, make_runtime, make_stack, publish

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: make encoder")
pytest.importorskip("tokenizers", reason="the tokenizer is not installed: make encoder")

# Too long for the event loop.
LONG = "a_ " * 3_000


@pytest.fixture
def open_another(settings: Settings, engine: Engine) -> Iterator[Callable[[], Runtime]]:
    """Opens runtimes as of processes of their own: they share what is on disk. Spam and sexism need one encoder."""
    publish_encoding(settings, "spam")
    publish_encoding(settings, "sexism")
    publish(settings, "harassment")
    publish(settings, "stream_manipulation")
    opened: list[Runtime] = []

    def another() -> Runtime:
        sentence._open.cache_clear()
        opened.append(make_runtime(settings, engine))
        assert isinstance(opened[-1].reader, FakeReader)
        opened[-1].reader.reads_inline = True
        return opened[-1]

    yield another
    for one in opened:
        one.close()
    sentence._open.cache_clear()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each call of the encoder."""
    found: list[list[str]] = []
    encode = TunedEncoder.encode

    def recorded(encoder: TunedEncoder, texts: Any) -> Any:
        found.append(list(texts))
        return encode(encoder, texts)

    monkeypatch.setattr(TunedEncoder, "encode", recorded)
    return found


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


def client_of(runtime: Runtime, portal: BlockingPortal) -> Http:
    made = keys.create(runtime.engine, "scores", ["score"])
    return Http(make_stack(runtime), portal, headers={"x-api-key": made.text})


def subject(id_: str, text: str | None = None) -> dict[str, Any]:
    return {"id": id_, "typeId": "comment", **({} if text is None else {"data": {"text": text}})}


def test_the_worker_encodes_new_texts_together_and_the_api_never_a_known_one(
    open_another: Callable[[], Runtime], engine: Engine, portal: BlockingPortal, encoded: list[list[str]]
) -> None:
    texts = {f"c{i}": f"{'song ' * (i % 7)}number {i}" for i in range(100)}
    with engine.begin() as connection:
        bodies = [ItemCreated(SubjectRef("comment", id_), "a1", text=text) for id_, text in texts.items()]
        event_log.append(connection, "test", [Event(f"e{i}", clock.now(), body) for i, body in enumerate(bodies)])
    worker = open_another()
    encoded.clear()
    LeadScorer(worker.policies, engine, worker.scorer).score([Subject("comment", id_) for id_ in texts], clock.now())
    # In one call for both harms, the shortest first.
    (once,) = encoded
    assert sorted(once) == sorted(texts.values())
    assert [len(text) for text in once] == sorted(len(text) for text in once)

    api = open_another()
    encoded.clear()
    body = {"subjects": [subject(id_) for id_ in texts]}
    answer = client_of(api, portal).post("/v1/score", json=body)
    assert {one["harm"] for each in answer.json()["results"] for one in each["scores"]} >= {"spam", "sexism"}
    assert encoded == []


def test_only_requests_that_need_the_encoder_leave_the_event_loop(
    open_another: Callable[[], Runtime], portal: BlockingPortal, scored_in: list[int]
) -> None:
    client, event_loop = client_of(open_another(), portal), portal.call(threading.get_ident)
    for harms, inline in (["harassment"], True), (["harassment", "spam"], False):
        scored_in.clear()
        body = {"subjects": [subject("c1", f"a song {harms}")], "harms": harms}
        assert client.post("/v1/score", json=body).status_code == 200
        assert (scored_in == [event_loop]) is inline, harms
    scored_in.clear()
    client.post("/v1/score", json={"subjects": [{"id": "a1", "typeId": "account"}]})
    assert scored_in == [event_loop]


@pytest.mark.parametrize(("encoding", "other"), [(1, 1), (2, 30)], ids=["short", "large"])
def test_while_the_encoder_is_busy_other_requests_are_scored_in_threads_too(
    open_another: Callable[[], Runtime],
    portal: BlockingPortal,
    monkeypatch: pytest.MonkeyPatch,
    encoding: int,
    other: int,
) -> None:
    """Large requests, in bytes, have other threads than short ones."""
    runtime = open_another()
    client, go_on, busy = client_of(runtime, portal), threading.Event(), threading.Semaphore(0)
    encode = TunedEncoder.encode

    def waits(encoder: TunedEncoder, texts: Any) -> Any:
        busy.release()
        assert go_on.wait(60)
        return encode(encoder, texts)

    monkeypatch.setattr(TunedEncoder, "encode", waits)
    threads = runtime.threads
    n = int((threads.encoded_scores if encoding == 1 else threads.large_encoded_scores).total_tokens)

    def ask(harm: str, subjects: int, name: str) -> int:
        body = {"subjects": [subject(f"c{i}", f"{name} {i} {LONG}") for i in range(subjects)], "harms": [harm]}
        return client.post("/v1/score", json=body).status_code

    with ThreadPoolExecutor(n + 1) as pool:
        try:
            waiting = [pool.submit(ask, "spam", encoding, f"w{i}") for i in range(n + 1)]
            for _ in range(n):
                assert busy.acquire(timeout=60)
            assert ask("harassment", other, "x") == 200
            assert not any(one.done() for one in waiting)
        finally:
            go_on.set()
        assert [one.result(60) for one in waiting] == [200] * (n + 1)

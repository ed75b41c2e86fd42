"""A database server that answers promptly is waited for in the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log, keys
from leads.db.engine import open_engine
from leads.events import Event, ItemCreated, SubjectRef
from leads.settings import Settings, load_settings
from serving.runtime import Runtime
from serving.scoring.planning import HarmPlanner
from tests.support.serving.world import BENIGN_TEXT, FakeReader, Http, make_stack

pytestmark = pytest.mark.slow

KNOWN = {"subjects": [{"id": "c1", "typeId": "comment"}]}
BOTH = {"subjects": [{"id": "c1", "typeId": "comment"}, {"id": "c2", "typeId": "comment"}]}


@pytest.fixture
def settings(migrated_postgresql_url: str, tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", corpora=Path(), database_url=migrated_postgresql_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    opened = open_engine(settings, timeout_s=30)
    yield opened
    opened.dispose()


class Scoring:
    """Scores over HTTP, and notes in which threads, and with which texts."""

    def __init__(self, runtime: Runtime, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.texts: list[list[str | None]] = []
        assert isinstance(runtime.reader, FakeReader)
        runtime.reader.reads_inline = True
        self.event_loop = portal.call(threading.get_ident)
        self._engine = runtime.engine
        self._http = Http(make_stack(runtime), portal, {"x-api-key": keys.create(runtime.engine, "s", ["score"]).text})
        plan = HarmPlanner.plan

        def noted(planner: HarmPlanner, inputs: Any, *args: Any) -> Any:
            self.threads.append(threading.get_ident())
            self.texts.append([one.text for one in inputs])
            return plan(planner, inputs, *args)

        monkeypatch.setattr(HarmPlanner, "plan", noted)
        self.edit("c1", BENIGN_TEXT)
        self.edit("c2", "another")
        while not runtime.scorer.prompt:
            assert self.post(KNOWN) == 200

    def edit(self, id_: str, text: str) -> None:
        body = ItemCreated(SubjectRef("comment", id_), "a1", text=text)
        with self._engine.begin() as connection:
            event_log.append(connection, "test", [Event(f"{id_}:{text}", clock.now(), body)])

    def post(self, body: dict[str, Any]) -> int:
        return self._http.post("/v1/score", json=body).status_code

    def post_inline(self, body: dict[str, Any]) -> bool:
        """Whether the request is scored in the event loop."""
        assert self.post(body) == 200
        return self.threads[-1] == self.event_loop


@pytest.fixture
def scoring(runtime: Runtime, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Scoring:
    return Scoring(runtime, portal, monkeypatch)


def test_items_are_scored_in_the_event_loop_whether_they_are_in_memory_or_not(scoring: Scoring) -> None:
    assert scoring.event_loop not in scoring.threads
    for body, texts in ((KNOWN, [BENIGN_TEXT]), (BOTH, [BENIGN_TEXT, "another"]), (BOTH, [BENIGN_TEXT, "another"])):
        assert scoring.post_inline(body)
        assert scoring.texts[-1] == texts


def test_an_edited_text_is_read_before_it_is_scored(scoring: Scoring) -> None:
    assert scoring.post_inline(KNOWN)
    scoring.edit("c1", "edited")
    assert scoring.post_inline(KNOWN)
    assert scoring.texts[-1] == ["edited"]
    assert scoring.post_inline(KNOWN)
    assert scoring.texts[-1] == ["edited"]


def test_a_request_waits_in_a_thread_once_the_database_is_slow(scoring: Scoring, runtime: Runtime) -> None:
    assert scoring.post_inline(KNOWN)
    begun = threading.Event()

    def locked() -> None:
        with runtime.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE item_versions IN ACCESS EXCLUSIVE MODE"))
            begun.set()
            # Until the next request has given up in the event loop.
            while runtime.scorer.prompt:
                threading.Event().wait(0.01)

    holder = threading.Thread(target=locked)
    holder.start()
    assert begun.wait(60)
    assert not scoring.post_inline(KNOWN)
    holder.join()
    assert scoring.texts[-1] == [BENIGN_TEXT]
    assert not runtime.scorer.prompt


def test_a_dropped_connection_is_replaced_without_an_error(scoring: Scoring, runtime: Runtime) -> None:
    with runtime.engine.connect() as connection:
        drop = "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(sa.text(f"{drop} AND pid <> pg_backend_pid()"))
    assert not scoring.post_inline(KNOWN)
    assert scoring.texts[-1] == [BENIGN_TEXT]

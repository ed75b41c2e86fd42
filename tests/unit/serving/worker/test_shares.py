"""A worker that waits for a partition says so once, and takes over when it is free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy.engine import Engine

from features.partition import Partition
from leads.errors import Conflict
from leads.settings import Settings
from serving.worker import shares
from serving.worker.shares import first_free, held, next_free

PARTS = [Partition(0, 2), Partition(1, 2)]


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shares, "_ASK_S", 0.01)
    caplog.set_level(logging.INFO, logger=shares.__name__)


def test_the_first_free_partition_is_taken(settings: Settings, engine: Engine) -> None:
    with first_free(settings, PARTS) as (one, still_held), first_free(settings, PARTS) as (other, _):
        assert [one, other] == PARTS
        assert still_held()
        with pytest.raises(Conflict, match="running the worker for partition 1 of 2"), first_free(settings, PARTS):
            pass
    with first_free(settings, PARTS) as (again, _):
        assert again == PARTS[0]


def test_a_worker_that_waits_takes_over(settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    stopped, got = threading.Event(), list[Partition]()

    def wait() -> None:
        with next_free(settings, PARTS[:1], stopped) as found:
            assert found is not None
            got.append(found[0])
            stopped.wait(30)

    waiting = threading.Thread(target=wait)
    with held(settings, PARTS[0]):
        waiting.start()
        until(lambda: caplog.messages)
        time.sleep(0.1)
        assert got == []
    until(lambda: got == PARTS[:1])
    with pytest.raises(Conflict), held(settings, PARTS[0]):
        pass
    stopped.set()
    waiting.join(30)
    assert caplog.messages == ["waiting to take over: Another process is running the worker for partition 0 of 2."]


def test_a_worker_that_is_stopped_while_it_waits_gets_nothing(settings: Settings, engine: Engine) -> None:
    stopped = threading.Event()
    stopped.set()
    with held(settings, PARTS[0]), next_free(settings, PARTS[:1], stopped) as found:
        assert found is None

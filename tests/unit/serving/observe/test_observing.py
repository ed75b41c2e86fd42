from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from serving.observe import observing
from serving.observe.observing import drain_on_sigterm, snapshot, tick
from serving.runtime import Runtime
from tests.support.serving.world import point_to


@pytest.fixture
def ended() -> Iterator[list[float]]:
    """When the handler that was there before was called."""
    calls: list[float] = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append(time.monotonic()))
    yield calls
    signal.signal(signal.SIGTERM, before)


def wait_for(calls: list[float], n: int) -> None:
    deadline = time.monotonic() + 20
    while len(calls) < n and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(calls) == n


def test_a_snapshot_says_what_is_served_and_refused(runtime: Runtime) -> None:
    found = snapshot(runtime)
    assert found.versions == {("spam", "champion", "1"), ("stream_manipulation", "champion", "1")}
    assert found.refusals == {"spam": 0, "stream_manipulation": 0}
    point_to(runtime.settings, "spam", "2")
    runtime.published.refresh()
    found = snapshot(runtime)
    assert ("spam", "champion", "1") in found.versions
    assert found.refusals["spam"] == 1
    assert found.shadow_rows == {"scored": 0, "compared": 0, "dropped": 0, "failed": 0}
    assert found.retreats == {"spam": 0, "stream_manipulation": 0}


def test_the_tick_goes_on_after_a_failure(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    class Broken:
        waiting = failures = 0

        @property
        def dropped(self) -> int:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise OSError("a secret path")
            return 7

    async def some_ticks() -> None:
        task = asyncio.create_task(tick(replace(runtime, predictions=Broken())))  # type: ignore[arg-type]
        while looks < 3:
            await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(observing, "TICK_S", 0.01)
    asyncio.run(some_ticks())
    assert "leads_predictions_dropped_total 7.0" in runtime.metrics.text().decode()
    assert "OSError in" in caplog.text
    assert "secret" not in caplog.text


def test_sigterm_stops_at_once_without_a_drain(ended: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 0.0)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(ended, 1)
    assert stopping.is_set()


def test_sigterm_with_a_drain_is_passed_on_later(ended: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 0.2)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    while not stopping.is_set():
        time.sleep(0.001)
    wait_for(ended, 1)
    assert ended[0] - sent >= 0.2


def test_a_second_sigterm_doesnt_wait(ended: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 3_600.0)
    os.kill(os.getpid(), signal.SIGTERM)
    while not stopping.is_set():
        time.sleep(0.001)
    assert ended == []
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(ended, 1)


def test_where_no_signal_arrives_nothing_happens(ended: list[float]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=drain_on_sigterm, args=(threading.Event(), 0.0))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before

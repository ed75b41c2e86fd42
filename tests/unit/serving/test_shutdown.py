"""SIGTERM fails readiness at once and ends the process after the drain time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from serving.shutdown import drain_on_sigterm


@pytest.fixture
def handled() -> Iterator[list[float]]:
    """Times at which the previous SIGTERM handler was called."""
    calls: list[float] = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append(time.monotonic()))
    yield calls
    signal.signal(signal.SIGTERM, before)


def wait_for(calls: list[float], n: int) -> None:
    deadline = time.monotonic() + 20
    while len(calls) < n and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(calls) == n


def test_sigterm_without_drain_calls_the_previous_handler_at_once(handled: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 0.0)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(handled, 1)
    assert stopping.is_set()


def test_sigterm_with_drain_calls_the_previous_handler_later(handled: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 0.2)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    while not stopping.is_set():
        time.sleep(0.001)
    wait_for(handled, 1)
    assert handled[0] - sent >= 0.2


def test_second_sigterm_does_not_wait(handled: list[float]) -> None:
    stopping = threading.Event()
    drain_on_sigterm(stopping, 3_600.0)
    os.kill(os.getpid(), signal.SIGTERM)
    while not stopping.is_set():
        time.sleep(0.001)
    assert handled == []
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(handled, 1)


def test_nothing_is_installed_outside_the_main_thread(handled: list[float]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=drain_on_sigterm, args=(threading.Event(), 0.0))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before

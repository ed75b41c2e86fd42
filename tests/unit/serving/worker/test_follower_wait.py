"""A worker that starts says that it waits for a follower, and doesn't wait when there is nothing to wait for."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from leads import clock
from leads.settings import Settings, load_settings
from serving.versions.published_state import PublishedState, write_state
from serving.worker import run

WAITS = "waiting for a follower to read the registry, at most 60 s without progress; `leads serve` starts one"


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=run.__name__)


def test_without_a_registry_there_is_nothing_to_wait_for(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    run._wait_for_follower(settings, threading.Event())
    assert time.monotonic() - began < 1.0
    assert caplog.messages == ["there is no model registry yet, so there is no version to wait for"]


def test_the_wait_is_announced_and_ends_when_the_follower_has_read_the_registry(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    write_state(settings.published_dir, PublishedState(clock.now() - clock.DAY))
    waiting = threading.Thread(target=run._wait_for_follower, args=(settings, threading.Event()))
    waiting.start()
    while WAITS not in caplog.messages:
        time.sleep(0.01)
    write_state(settings.published_dir, PublishedState(clock.now()))
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert caplog.messages == [WAITS]


def test_without_a_follower_the_worker_starts_with_what_is_published(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_FOLLOWER_S", 0.1)
    # Another host's registry may have versions that this host doesn't know yet.
    remote = load_settings(home=settings.home, corpora="none", mlflow_uri="http://mlflow.invalid")
    run._wait_for_follower(remote, threading.Event())
    assert caplog.messages[1:] == ["no follower has read the registry, using the versions that are already published"]
    caplog.clear()
    stopped = threading.Event()
    stopped.set()
    run._wait_for_follower(remote, stopped)
    assert len(caplog.messages) == 1

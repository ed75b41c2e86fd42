"""A process that starts waits for the versions that are published, and for nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from serving.lineup import Absent
from serving.versions.loading import wait_until_loaded
from serving.versions.published import PublishedVersions
from serving.versions.published_state import STATE_FILE
from tests.support.serving.world import POLICIES, publish


@pytest.fixture
def published(settings: Settings, engine: Engine) -> PublishedVersions:
    """Its seconds are a hundred times shorter: it tries a refused version again soon."""
    return PublishedVersions(settings, POLICIES, engine, timer=lambda: 100 * time.monotonic())


def wait(published: PublishedVersions, settings: Settings, healing_s: float = 60.0) -> threading.Thread:
    arguments = (published, settings.published_dir, threading.Event())
    waiting = threading.Thread(target=wait_until_loaded, args=arguments, kwargs={"healing_s": healing_s})
    waiting.start()
    return waiting


def test_where_nothing_is_published_there_is_no_wait(settings: Settings, published: PublishedVersions) -> None:
    wait_until_loaded(published, settings.published_dir, threading.Event())


def test_it_waits_until_every_role_is_loaded(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    publish(settings, "sexism", "1")
    waiting = wait(published, settings)
    assert not published.lineup().absent
    published.refresh()
    waiting.join(30)
    assert not waiting.is_alive()
    publish(settings, "spam", "2", role="challenger", seed=1)
    waiting = wait(published, settings)
    time.sleep(0.2)
    assert waiting.is_alive()
    published.refresh()
    waiting.join(30)
    assert not waiting.is_alive()
    assert published.lineup().absent == {}


def test_a_version_that_is_refused_is_not_waited_for(settings: Settings, published: PublishedVersions) -> None:
    folder = publish(settings, "spam", "1")
    (folder / "manifest.json").write_text("{}")
    waiting = wait(published, settings)
    published.refresh()
    waiting.join(30)
    assert not waiting.is_alive()
    assert "loading" not in [one.why for one in published.lineup().absent.values()]


def test_a_damaged_version_is_waited_for_until_it_is_fetched_again(
    settings: Settings, published: PublishedVersions
) -> None:
    folder = publish(settings, "spam", "1")
    whole = (folder / "booster.ubj").read_bytes()
    (folder / "booster.ubj").write_bytes(whole[:-9])
    waiting = wait(published, settings)
    published.refresh()
    time.sleep(0.2)
    assert waiting.is_alive()
    (folder / "booster.ubj").write_bytes(whole)
    deadline = time.monotonic() + 60
    while waiting.is_alive() and time.monotonic() < deadline:
        published.refresh()
        waiting.join(0.1)
    assert not waiting.is_alive()
    assert [one.serving for one in published.status() if one.harm == "spam"] == ["1"]


def test_a_version_that_stays_damaged_is_not_waited_for_long(settings: Settings, published: PublishedVersions) -> None:
    folder = publish(settings, "spam", "1")
    (folder / "booster.ubj").write_bytes(b"")
    waiting = wait(published, settings, healing_s=0.2)
    published.refresh()
    waiting.join(30)
    assert not waiting.is_alive()


def test_the_wait_ends_when_nothing_moves_or_the_process_stops(
    settings: Settings, published: PublishedVersions, caplog: pytest.LogCaptureFixture
) -> None:
    publish(settings, "spam", "1")
    with caplog.at_level(logging.WARNING):
        wait_until_loaded(published, settings.published_dir, threading.Event(), patience_s=0.2)
    assert caplog.messages == ["answering requests before these versions are loaded: spam version 1"]
    stopping = threading.Event()
    stopping.set()
    wait_until_loaded(published, settings.published_dir, stopping)


def test_a_damaged_state_is_not_waited_for(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    (settings.published_dir / STATE_FILE).write_text("{")
    wait_until_loaded(published, settings.published_dir, threading.Event())


def test_a_harm_is_loading_until_its_champion_serves(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam", "1")
    seen: list[Mapping[str, Absent]] = []

    def load(*given: object, **more: object) -> object:
        seen.append(published.lineup().absent)
        raise OSError("The disk is slow.")

    published = PublishedVersions(settings, POLICIES, engine, load=load)  # type: ignore[arg-type]
    published.refresh()
    assert seen == [{"spam": Absent("1", "loading")}]
    assert published.lineup().absent == {"spam": Absent("1", "refused")}

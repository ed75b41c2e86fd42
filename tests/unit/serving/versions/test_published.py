"""Which of the published versions a process serves."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from features.evaluate.columns import plan_of
from leads import clock
from leads.db import canary_retreats
from leads.db.canary_retreats import Retreat
from leads.db.engine import migrate, unchecked_engine
from leads.events import Subject
from leads.settings import Settings, load_settings
from models.version import ModelVersion, load
from serving.scoring.inputs import ScoreRequest
from serving.scoring.model_input import prepare
from serving.versions.published import RETRY_REFUSED_S, PublishedVersions
from tests.support.serving.fake_registry import tamper
from tests.support.serving.world import POLICIES, all_answer, make_runtime, point_to, publish
from tests.support.training.live_features import declared

pytestmark = pytest.mark.slow


class Loads:
    """`models.version.load` that records what it loaded."""

    def __init__(self) -> None:
        self.versions: list[tuple[str, str]] = []

    def __call__(self, folder: Path) -> ModelVersion:
        version = load(folder)
        self.versions.append((version.harm, version.version))
        return version


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def published(settings: Settings, engine: Engine, loads: Loads) -> PublishedVersions:
    return PublishedVersions(settings, POLICIES, engine, load=loads)


def test_nothing_is_served_before_anything_is_published(settings: Settings, published: PublishedVersions) -> None:
    published.refresh()
    assert dict(published.lineup().champions) == {}
    assert not all_answer(published)


def test_a_new_version_takes_over_and_the_previous_one_is_reported(
    settings: Settings, published: PublishedVersions
) -> None:
    publish(settings, "spam", "1")
    assert published.refresh()
    assert all_answer(published)
    taken = published.lineup().champions
    publish(settings, "spam", "2", seed=1)
    assert published.refresh()
    assert taken["spam"].version == "1"
    assert published.lineup().champions["spam"].version == "2"
    (status,) = published.status()
    assert (status.serving, status.previous, status.converged) == ("2", "1", True)
    assert not published.refresh()


def test_every_published_champion_must_be_loaded(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam")
    point_to(settings, "stream_manipulation", "1")
    published.refresh()
    assert set(published.lineup().champions) == {"spam"}
    assert not all_answer(published)
    publish(settings, "stream_manipulation")
    published.refresh()
    assert all_answer(published)


def test_a_tampered_version_is_not_served_and_the_old_one_stays(
    settings: Settings, published: PublishedVersions
) -> None:
    publish(settings, "spam", "1")
    published.refresh()
    tamper(publish(settings, "spam", "2", seed=1))
    published.refresh()
    (status,) = published.status()
    assert (status.serving, status.converged) == ("1", False)
    assert "booster.ubj" in status.refused_here["2"]
    assert status.refused == status.refused_here
    assert not all_answer(published)
    # It is tried again, and served once it is repaired.
    shutil.rmtree(settings.published_dir / "spam" / "2")
    publish(settings, "spam", "2", seed=1)
    published.refresh()
    assert published.lineup().champions["spam"].version == "2"
    assert published.status()[0].refused == {}


def test_a_folder_that_holds_another_version_is_not_served(settings: Settings, published: PublishedVersions) -> None:
    folder = publish(settings, "spam", "1")
    (folder / "version.txt").write_text("7")
    published.refresh()
    assert dict(published.lineup().champions) == {}


def test_a_damaged_state_changes_nothing(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    published.refresh()
    (settings.published_dir / "state.json").write_text("{")
    assert not published.refresh()
    assert published.lineup().champions["spam"].version == "1"
    (settings.published_dir / "state.json").unlink()
    assert not published.refresh()
    assert published.lineup().champions["spam"].version == "1"


def test_a_withdrawn_champion_is_no_longer_served(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    published.refresh()
    point_to(settings, "spam", None)
    assert published.refresh()
    assert dict(published.lineup().champions) == {}


def test_the_background_thread_follows_and_stops(settings: Settings, published: PublishedVersions) -> None:
    published.start()
    publish(settings, "spam", "1")
    deadline = time.monotonic() + 20
    while not all_answer(published) and time.monotonic() < deadline:
        time.sleep(0.05)
    published.stop()
    assert all_answer(published)
    assert not any(thread.name == "published" for thread in threading.enumerate())


def test_a_roll_back_uses_the_version_already_loaded(
    settings: Settings, published: PublishedVersions, loads: Loads
) -> None:
    for version in ("1", "2"):
        publish(settings, "spam", version, seed=int(version))
        published.refresh()
    before = published.lineup()
    # It was verified before, so its folder no longer matters.
    shutil.rmtree(settings.published_dir / "spam" / "1")
    point_to(settings, "spam", "1")
    published.refresh()
    assert published.lineup().champions["spam"].version == "1"
    assert (published.status()[0].previous, all_answer(published)) == ("2", True)
    point_to(settings, "spam", "2")
    published.refresh()
    assert published.lineup().champions["spam"] is before.champions["spam"]
    assert loads.versions == [("spam", "1"), ("spam", "2")]


def test_a_version_without_a_role_is_unloaded(settings: Settings, published: PublishedVersions) -> None:
    for version in ("1", "2", "3"):
        publish(settings, "spam", version)
        published.refresh()
    assert published.status()[0].loaded == {"2", "3"}


def test_a_new_process_loads_the_previous_champion_too(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    publish(settings, "spam", "2")
    published.refresh()
    assert published.status()[0].previous == "1"


def test_each_role_has_its_version(settings: Settings, published: PublishedVersions, loads: Loads) -> None:
    publish(settings, "spam", "1")
    publish(settings, "spam", "2", role="canary")
    publish(settings, "spam", "3", role="challenger")
    published.refresh()
    lineup = published.lineup()
    assert lineup.champions["spam"].version == "1"
    assert lineup.canaries["spam"].version.version == "2"
    assert lineup.canaries["spam"].share == POLICIES.harms["spam"].canary.share
    assert lineup.challengers["spam"].version == "3"
    # The promoted canary is already loaded; nothing is loaded again.
    point_to(settings, "spam", None, role="canary")
    point_to(settings, "spam", "2")
    published.refresh()
    assert published.lineup().champions["spam"] is lineup.canaries["spam"].version
    assert not published.lineup().canaries
    assert len(loads.versions) == 3


def test_a_canary_without_a_champion_has_no_role(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "2", role="canary")
    published.refresh()
    assert not published.lineup().canaries
    assert not all_answer(published)


def test_a_bad_canary_and_challenger_leave_the_champion_alone(settings: Settings, published: PublishedVersions) -> None:
    publish(settings, "spam", "1")
    tamper(publish(settings, "spam", "2", role="canary"))
    point_to(settings, "spam", "9", role="challenger")
    published.refresh()
    lineup = published.lineup()
    assert (lineup.champions["spam"].version, dict(lineup.canaries), dict(lineup.challengers)) == ("1", {}, {})
    assert all_answer(published)
    (status,) = published.status()
    assert set(status.refused) == {"2", "9"}
    assert status.converged


def test_a_version_whose_loading_fails_is_refused(settings: Settings, engine: Engine) -> None:
    now = 0.0
    tried: list[str] = []

    def breaks(folder: Path) -> ModelVersion:
        tried.append(folder.name)
        if folder.name == "2":
            raise ValueError("unheard of")
        return load(folder)

    published = PublishedVersions(settings, POLICIES, engine, load=breaks, timer=lambda: now)
    publish(settings, "spam", "1")
    published.refresh()
    publish(settings, "spam", "2")
    publish(settings, "stream_manipulation", "1")
    for _ in range(3):
        published.refresh()
    assert {harm: version.version for harm, version in published.lineup().champions.items()} == {
        "spam": "1", "stream_manipulation": "1",
    }  # fmt: skip
    assert "ValueError: unheard of" in published.status()[0].refused["2"]
    # An unchanged folder isn't tried again before the delay.
    assert tried.count("2") == 1
    now = RETRY_REFUSED_S + 1
    published.refresh()
    assert tried.count("2") == 2


def test_a_retreat_takes_effect_at_once_and_reaches_every_process(any_settings: Settings, any_engine: Engine) -> None:
    publish(any_settings, "spam", "1")
    publish(any_settings, "spam", "2", role="canary")
    mine, other = (PublishedVersions(any_settings, POLICIES, any_engine) for _ in range(2))
    for published in (mine, other):
        published.refresh()
        assert published.lineup().canaries["spam"].version.version == "2"
    mine.retreats.retreat("spam", "2", "too slow")
    assert not mine.lineup().canaries
    assert other.lineup().canaries
    mine.refresh()
    other.refresh()
    restarted = PublishedVersions(any_settings, POLICIES, any_engine)
    restarted.refresh()
    for published in (mine, other, restarted):
        assert not published.lineup().canaries
        assert published.lineup().champions["spam"].version == "1"
        (status,) = published.status()
        assert status.retreat is not None
        assert (status.retreat.why, status.loaded) == ("too slow", {"1", "2"})
    with any_engine.begin() as connection:
        assert list(canary_retreats.standing(connection)) == [("spam", "2")]
        canary_retreats.clear(connection, "spam", "2", 1)
    for published in (mine, other, restarted):
        published.refresh()
        assert published.lineup().canaries["spam"].version.version == "2"


def test_the_background_thread_brings_a_retreat_to_another_process(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam", "1")
    publish(settings, "spam", "2", role="canary")
    mine, other = (PublishedVersions(settings, POLICIES, engine) for _ in range(2))
    mine.refresh()
    other.start()
    wait_until(lambda: bool(other.lineup().canaries))
    mine.retreats.retreat("spam", "2", "fails")
    mine.stop()
    wait_until(lambda: not other.lineup().canaries)
    other.stop()


def test_a_retreat_waits_for_a_database_that_is_down(settings: Settings, tmp_path: Path) -> None:
    """Until the database was read, no canary may answer."""
    elsewhere = load_settings(home=tmp_path / "other", corpora=Path())
    engine = unchecked_engine(elsewhere)
    publish(settings, "spam", "1")
    publish(settings, "spam", "2", role="canary")
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    assert all_answer(published)
    assert not published.lineup().canaries
    published.retreats.retreat("spam", "2", "fails")
    published.refresh()
    assert published.retreats.waiting
    migrate(elsewhere)
    published.refresh()
    assert not published.retreats.waiting
    assert not published.lineup().canaries
    with engine.connect() as connection:
        assert isinstance(canary_retreats.standing(connection)["spam", "2"], Retreat)
    engine.dispose()


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_plans_are_compiled_before_the_first_request(settings: Settings, engine: Engine) -> None:
    plan_of.cache_clear()
    publish(settings, "spam")
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    runtime = make_runtime(settings, engine)
    compiled = plan_of.cache_info().misses
    request = ScoreRequest(Subject("comment", "c1"), ("spam",), text="a text")
    assert runtime.scorer.score([request], clock.now(), "api").groups
    assert plan_of.cache_info().misses == compiled
    # Features that go live are compiled too, before they are used.
    other = declared()
    published.prepare_for(other)
    assert plan_of.cache_info().misses > compiled
    compiled = plan_of.cache_info().misses
    prepare([published.lineup().champions["spam"].contract], other)
    assert plan_of.cache_info().misses == compiled
    runtime.close()
    published.stop()

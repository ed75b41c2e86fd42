"""What a worker serves, and what the follower publishes for it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from serving_world import POLICIES, make_parts, point_to, publish

from leads.errors import ModelRefused, Unavailable
from leads.settings import Settings
from models.package import write_version
from serving.follower import RETRY_REFUSED_S, Follower, check_contract, run
from serving.published import HarmState, Published, read_state


def tamper(folder: Path) -> None:
    raw = bytearray((folder / "booster.ubj").read_bytes())
    raw[-9] ^= 1
    (folder / "booster.ubj").write_bytes(raw)


def test_nothing_is_served_before_anything_is_published(settings: Settings) -> None:
    published = Published(settings)
    published.refresh()
    assert dict(published.champions()) == {}
    assert not published.ready()


def test_a_new_version_takes_over_and_the_one_before_is_named(settings: Settings) -> None:
    publish(settings, "spam", "1")
    published = Published(settings)
    assert published.refresh()
    assert published.ready()
    taken = published.champions()
    publish(settings, "spam", "2", seed=1)
    assert published.refresh()
    assert taken["spam"].version == "1"
    assert published.champions()["spam"].version == "2"
    (served,) = published.served()
    assert (served.serving, served.previous, served.converged) == ("2", "1", True)
    assert not published.refresh()


def test_ready_means_every_champion(settings: Settings) -> None:
    publish(settings, "spam")
    point_to(settings, "stream_manipulation", "1")
    published = Published(settings)
    published.refresh()
    assert set(published.champions()) == {"spam"}
    assert not published.ready()
    publish(settings, "stream_manipulation")
    published.refresh()
    assert published.ready()


def test_a_tampered_version_is_not_served_and_the_old_one_stays(settings: Settings) -> None:
    publish(settings, "spam", "1")
    published = Published(settings)
    published.refresh()
    tamper(publish(settings, "spam", "2", seed=1))
    published.refresh()
    (served,) = published.served()
    assert (served.serving, served.converged) == ("1", False)
    assert "booster.ubj" in (served.refused_here or "")
    assert not published.ready()
    # It is tried again, and served once it is whole.
    shutil.rmtree(settings.published_dir / "spam" / "2")
    publish(settings, "spam", "2", seed=1)
    published.refresh()
    assert published.champions()["spam"].version == "2"
    assert published.served()[0].refused_here is None


def test_a_folder_that_holds_another_version_is_not_served(settings: Settings) -> None:
    folder = publish(settings, "spam", "1")
    (folder / "version.txt").write_text("7")
    published = Published(settings)
    published.refresh()
    assert dict(published.champions()) == {}


def test_a_damaged_state_changes_nothing(settings: Settings) -> None:
    publish(settings, "spam", "1")
    published = Published(settings)
    published.refresh()
    (settings.published_dir / "state.json").write_text("{")
    assert not published.refresh()
    assert published.champions()["spam"].version == "1"


def test_a_withdrawn_champion_is_no_longer_served(settings: Settings) -> None:
    publish(settings, "spam", "1")
    published = Published(settings)
    published.refresh()
    point_to(settings, "spam", None)
    assert published.refresh()
    assert dict(published.champions()) == {}


def test_the_background_thread_follows_and_stops(settings: Settings) -> None:
    published = Published(settings)
    published.start()
    publish(settings, "spam", "1")
    deadline = time.monotonic() + 20
    while not published.ready() and time.monotonic() < deadline:
        time.sleep(0.05)
    published.stop()
    assert published.ready()
    assert not any(thread.name == "published" for thread in threading.enumerate())


class FakeRegistry:
    """Versions in memory, with the interface of `models.registry.Registry`."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.named: dict[str, dict[str, str]] = {}
        self.down = False
        self.lost: set[str] = set()
        self.fetched: list[str] = []

    def register(self, harm: str, version: str, *, seed: int = 0) -> Path:
        folder = self.source / harm / version
        write_version(folder, make_parts(harm, seed=seed))
        (folder / "version.txt").write_text(version, encoding="utf-8")
        self.named.setdefault(harm, {})["champion"] = version
        return folder

    def aliases(self, harm: str) -> dict[str, str]:
        if self.down:
            raise Unavailable("MLflow doesn't answer.")
        return dict(self.named.get(harm, {}))

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        if version in self.lost:
            raise Unavailable("The artifacts can't be reached.")
        self.fetched.append(version)
        shutil.copytree(self.source / harm / version, into / version)
        return into / version


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(tmp_path / "registry")


def test_the_follower_publishes_what_the_alias_names(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    follower = Follower(settings, POLICIES, registry, clock_=lambda: 77)
    follower.step()
    state = read_state(settings.published_dir)
    assert state.checked_at == 77
    assert state.harms["spam"] == HarmState("1", {}, {"champion": "1"})
    assert state.harms["sexism"] == HarmState(None, {}, {})
    follower.step()
    assert registry.fetched == ["1"]
    raw = json.loads((settings.published_dir / "state.json").read_text())
    assert raw["harms"]["spam"] == {"champion": "1", "refused": {}, "aliases": {"champion": "1"}}
    published = Published(settings)
    published.refresh()
    assert published.ready()


def test_the_follower_refuses_a_tampered_version_and_keeps_the_old_one(
    settings: Settings, registry: FakeRegistry
) -> None:
    now = 0.0
    registry.register("spam", "1")
    follower = Follower(settings, POLICIES, registry, timer=lambda: now)
    follower.step()
    tamper(registry.register("spam", "2"))
    for _ in range(3):
        state = follower.step().harms["spam"]
        assert (state.champion, list(state.refused), state.aliases) == ("1", ["2"], {"champion": "2"})
        assert "booster.ubj" in state.refused["2"]
    assert registry.fetched == ["1", "2"]
    assert not (settings.published_dir / "spam" / "2").exists()
    published = Published(settings)
    published.refresh()
    assert published.champions()["spam"].version == "1"
    assert not published.served()[0].converged
    # Mended, it is taken up after a while.
    shutil.rmtree(registry.source / "spam" / "2")
    registry.register("spam", "2")
    now = RETRY_REFUSED_S + 1
    assert follower.step().harms["spam"] == HarmState("2", {}, {"champion": "2"})


def test_a_version_that_can_not_be_fetched_holds_up_no_other_harm(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    registry.register("stream_manipulation", "2")
    registry.lost = {"1"}
    state = Follower(settings, POLICIES, registry).step()
    assert state.harms["spam"].champion is None
    assert "reached" in state.harms["spam"].refused["1"]
    assert state.harms["stream_manipulation"].champion == "2"


def test_what_is_published_stays_while_the_registry_is_down(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    before = read_state(settings.published_dir)
    registry.down = True
    again = Follower(settings, POLICIES, registry)
    with pytest.raises(Unavailable):
        again.step()
    assert read_state(settings.published_dir) == before


def test_the_loop_outlives_a_registry_that_is_down(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    registry.down = True
    stopped = threading.Event()
    follower = Follower(settings, POLICIES, registry)
    thread = threading.Thread(target=run, args=[follower], kwargs={"every_s": 0.01, "stopped": stopped})
    thread.start()
    time.sleep(0.1)
    registry.down = False
    deadline = time.monotonic() + 20
    while not read_state(settings.published_dir).harms and time.monotonic() < deadline:
        time.sleep(0.02)
    stopped.set()
    thread.join()
    assert read_state(settings.published_dir).harms["spam"].champion == "1"


def test_old_versions_are_tidied_away(settings: Settings, registry: FakeRegistry) -> None:
    follower = Follower(settings, POLICIES, registry)
    for version in ("1", "2", "3", "4"):
        registry.register("stream_manipulation", version)
        follower.step()
    kept = sorted(x.name for x in (settings.published_dir / "stream_manipulation").iterdir())
    assert kept == ["2", "3", "4"]


def test_a_contract_this_code_can_not_satisfy_is_refused(tmp_path: Path) -> None:
    version = write_version(tmp_path / "v", make_parts("stream_manipulation"))
    check_contract(version)
    contract = version.contract
    first = contract.columns[0]
    unknown = msgspec.structs.replace(contract, columns=(msgspec.structs.replace(first, name="item.moods"),))
    newer = msgspec.structs.replace(contract, encoder_version="counts-9")
    for bad, word in ((unknown, "item.moods"), (newer, "counts-9")):
        with pytest.raises(ModelRefused, match=word):
            check_contract(replace(version, contract=bad))
    ruled = msgspec.structs.replace(contract, columns=(msgspec.structs.replace(first, max_age_s=60.0),))
    check_contract(replace(version, contract=ruled))

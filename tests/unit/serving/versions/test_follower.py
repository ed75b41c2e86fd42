"""Which of the versions that the registry's aliases point to the follower publishes."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import contract_for
from leads.errors import ModelRefused, Unavailable
from leads.files import only_one
from leads.platform.declaration import load_platform
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings
from models.registry.versions import CANARY_SHARE
from models.version import ModelVersion, load
from models.write import write_version
from serving.versions.file_watch import changed_files
from serving.versions.folders import RETRY_REFUSED_S
from serving.versions.follower import Follower, run
from serving.versions.published import PublishedVersions
from serving.versions.published_state import (
    LOCK_FILE,
    HarmState,
    PublishedState,
    read_state,
    verified_so_far,
    write_state,
)
from serving.versions.verification import check_contract
from tests.support.serving.fake_registry import FakeRegistry, tamper
from tests.support.serving.killed_follower import killed
from tests.support.serving.world import POLICIES, all_answer, make_parts
from tests.support.training.live_features import OURS, go_live

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(tmp_path / "registry")


@pytest.fixture
def published(settings: Settings, engine: Engine) -> PublishedVersions:
    return PublishedVersions(settings, POLICIES, engine)


def test_the_follower_publishes_the_version_the_alias_points_to(
    settings: Settings, registry: FakeRegistry, published: PublishedVersions
) -> None:
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
    assert raw["harms"]["spam"] == {
        "champion": "1", "refused": {}, "aliases": {"champion": "1"}, "canary": None, "challenger": None,
        "previous": None, "canary_share": None, "damaged": {},
    }  # fmt: skip
    published.refresh()
    assert all_answer(published)


def test_an_alias_that_was_set_to_a_retired_version_by_hand_is_refused(
    settings: Settings, registry: FakeRegistry
) -> None:
    for version in ("1", "2"):
        registry.register("spam", version)
    registry.retired["2"] = "2026-03-01T12:00:00Z by anna: worse ranking"
    follower = Follower(settings, POLICIES, registry)
    registry.named["spam"] = {"champion": "1", "canary": "2", "challenger": "2"}
    why = {"2": "Version 2 of spam was retired at 2026-03-01T12:00:00Z by anna: worse ranking."}
    found = follower.step().harms["spam"]
    assert (found.champion, found.canary, found.challenger, found.refused) == ("1", None, None, why)
    registry.named["spam"] = {"champion": "2"}
    found = follower.step().harms["spam"]
    assert (found.champion, found.refused) == ("1", why)


def test_a_champion_that_is_retired_while_it_is_published_gives_way_to_the_previous_one(
    settings: Settings, registry: FakeRegistry
) -> None:
    follower = Follower(settings, POLICIES, registry)
    for version in ("1", "2"):
        registry.register("spam", version)
        assert follower.step().harms["spam"].champion == version
    registry.retired["2"] = "2026-03-01T12:00:00Z by anna: worse ranking"
    found = follower.step().harms["spam"]
    assert (found.champion, list(found.refused)) == ("1", ["2"])


def test_the_follower_refuses_a_tampered_version_and_keeps_the_old_one(
    settings: Settings, registry: FakeRegistry, published: PublishedVersions
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
    published.refresh()
    assert published.lineup().champions["spam"].version == "1"
    assert not published.status()[0].converged
    # Once it is repaired, it is published after a while.
    shutil.rmtree(registry.source / "spam" / "2")
    registry.register("spam", "2")
    now = RETRY_REFUSED_S + 1
    assert follower.step().harms["spam"] == HarmState("2", {}, {"champion": "2"}, previous="1")


def test_a_version_that_cannot_be_fetched_does_not_delay_other_harms(
    settings: Settings, registry: FakeRegistry
) -> None:
    registry.register("spam", "1")
    registry.register("stream_manipulation", "2")
    registry.lost = {"1"}
    state = Follower(settings, POLICIES, registry).step()
    assert state.harms["spam"].champion is None
    assert "reached" in state.harms["spam"].refused["1"]
    assert state.harms["stream_manipulation"].champion == "2"


def test_published_versions_stay_while_the_registry_is_down(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    before = read_state(settings.published_dir)
    registry.down = True
    again = Follower(settings, POLICIES, registry)
    with pytest.raises(Unavailable):
        again.step()
    assert read_state(settings.published_dir) == before


def test_the_loop_survives_a_registry_that_is_down(settings: Settings, registry: FakeRegistry) -> None:
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


def test_old_version_folders_are_deleted(settings: Settings, registry: FakeRegistry) -> None:
    follower = Follower(settings, POLICIES, registry)
    for version in ("1", "2", "3", "4"):
        registry.register("stream_manipulation", version)
        follower.step()
    kept = sorted(x.name for x in (settings.published_dir / "stream_manipulation").iterdir())
    assert kept == ["2", "3", "4"]


def test_a_contract_this_code_cannot_satisfy_is_refused(tmp_path: Path) -> None:
    version = write_version(tmp_path / "v", make_parts("stream_manipulation"))
    check_contract(version, unreachable)
    contract = version.contract
    first = contract.columns[0]
    unknown = msgspec.structs.replace(contract, columns=(msgspec.structs.replace(first, name="item.moods"),))
    newer = msgspec.structs.replace(contract, encoder_version="counts-9")
    for bad, word in ((unknown, "item.moods"), (newer, "counts-9")):
        with pytest.raises(ModelRefused, match=word):
            check_contract(replace(version, contract=bad), lambda: BUILTIN)
    ruled = msgspec.structs.replace(contract, columns=(msgspec.structs.replace(first, max_age_s=60.0),))
    check_contract(replace(version, contract=ruled), unreachable)


def unreachable() -> FeatureSet:
    raise Unavailable("The database can't be reached.")


def test_a_version_with_declared_features_is_published_while_they_are_live(
    settings: Settings, registry: FakeRegistry, published: PublishedVersions, engine: Engine
) -> None:
    parts = make_parts("stream_manipulation")
    (ours,) = (one for one in contract_for(text=False, features=go_live(engine)).columns if one.definition)
    contract = msgspec.structs.replace(parts.contract, columns=(ours, *parts.contract.columns[1:]))
    parts.booster.feature_names = list(contract.names)
    write_version(registry.source / "v", replace(parts, contract=contract))
    for number in ("1", "2"):
        shutil.copytree(registry.source / "v", registry.source / "stream_manipulation" / number)
        (registry.source / "stream_manipulation" / number / "version.txt").write_text(number, encoding="utf-8")
        registry.named["stream_manipulation"] = {"champion": number}
        state = Follower(settings, POLICIES, registry).step().harms["stream_manipulation"]
        assert state.champion == "1"
        published.refresh()
        assert published.lineup().champions["stream_manipulation"].version == "1"
        go_live(engine, window="7d")
    assert state.refused["2"] == (
        f"contract.json: The contract needs the feature {OURS} as it was declared before: its declaration changed. "
        "Train the harm again: leads train stream_manipulation"
    )


def test_each_alias_becomes_a_role(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    registry.register("spam", "2", role="canary")
    registry.register("spam", "3", role="challenger")
    follower = Follower(settings, POLICIES, registry)
    spam = follower.step().harms["spam"]
    assert (spam.champion, spam.canary, spam.challenger, spam.refused) == ("1", "2", "3", {})
    # A promoted canary is already verified. The champion has no other role.
    registry.named["spam"]["champion"] = "2"
    spam = follower.step().harms["spam"]
    assert (spam.champion, spam.canary, spam.challenger, spam.previous) == ("2", None, "3", "1")
    registry.named["spam"] = {"champion": "1"}
    spam = follower.step().harms["spam"]
    assert spam == HarmState("1", {}, {"champion": "1"}, previous="2")
    assert registry.fetched == ["1", "2", "3"]


def test_a_bad_canary_and_challenger_leave_the_champion_alone(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    registry.register("spam", "2", role="canary")
    follower = Follower(settings, POLICIES, registry)
    follower.step()
    tamper(registry.register("spam", "3", role="canary"))
    registry.lost = {"4"}
    registry.register("spam", "4", role="challenger")
    spam = follower.step().harms["spam"]
    # No alias points to the previous canary any more, so there is no canary.
    assert (spam.champion, spam.canary, spam.challenger) == ("1", None, None)
    assert set(spam.refused) == {"3", "4"}
    assert "reached" in spam.refused["4"]


def test_any_error_while_loading_a_version_only_refuses_it(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    registry.register("stream_manipulation", "1")

    def breaks(folder: Path) -> ModelVersion:
        if "spam" in folder.parts:
            raise RecursionError("too deep")
        return load(folder)

    state = Follower(settings, POLICIES, registry, load_=breaks).step()
    assert state.harms["spam"].champion is None
    assert "RecursionError: too deep" in state.harms["spam"].refused["1"]
    assert state.harms["stream_manipulation"].champion == "1"


def test_a_harm_with_unreadable_aliases_keeps_its_version_and_does_not_delay_others(
    settings: Settings, registry: FakeRegistry
) -> None:
    registry.register("spam", "1")
    follower = Follower(settings, POLICIES, registry)
    follower.step()
    registry.unreadable = {"spam"}
    registry.register("spam", "2")
    registry.register("stream_manipulation", "1")
    state = follower.step()
    assert (state.harms["spam"].champion, state.harms["stream_manipulation"].champion) == ("1", "1")
    registry.unreadable = set()
    assert follower.step().harms["spam"].champion == "2"


def test_a_damaged_folder_of_an_earlier_run_is_fetched_again(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    folder = settings.published_dir / "spam" / "1"
    tamper(folder)
    spam = Follower(settings, POLICIES, registry).step().harms["spam"]
    assert (spam.champion, spam.refused) == ("1", {})
    load(folder).verify()
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_the_only_copy_is_kept_if_it_cannot_be_fetched_again(settings: Settings, registry: FakeRegistry) -> None:
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    registry.lost = {"1"}
    failing = Follower(settings, POLICIES, registry, load_=lambda folder: load(folder / "nowhere"))
    spam = failing.step().harms["spam"]
    assert (spam.champion, dict(spam.refused)) == ("1", {})
    assert spam.damaged["1"].endswith("Fetching it again failed: The artifacts can't be reached.")
    load(settings.published_dir / "spam" / "1").verify()


def test_folders_of_every_role_and_of_the_previous_champion_are_kept(
    settings: Settings, registry: FakeRegistry
) -> None:
    follower = Follower(settings, POLICIES, registry)
    for version in ("1", "2"):
        registry.register("stream_manipulation", version)
        follower.step()
    registry.register("stream_manipulation", "3", role="challenger")
    for version in ("4", "5", "6", "7"):
        registry.register("stream_manipulation", version, role="canary")
        follower.step()
    kept = sorted(x.name for x in (settings.published_dir / "stream_manipulation").iterdir())
    # The champion, the previous champion, the challenger, and the newest three.
    assert kept == ["1", "2", "3", "5", "6", "7"]


def test_a_state_of_an_earlier_release_is_read(settings: Settings) -> None:
    write_state(settings.published_dir, PublishedState())
    raw = b'{"checked_at":5,"harms":{"spam":{"champion":"1","refused":{},"aliases":{}}}}'
    (settings.published_dir / "state.json").write_bytes(raw)
    assert read_state(settings.published_dir).harms["spam"] == HarmState("1")


def test_a_version_that_crashes_the_follower_does_not_delay_other_harms(
    settings: Settings, registry: FakeRegistry
) -> None:
    """A crash in a library can't be caught. The next follower tries the other harms first."""
    now = 0.0
    registry.register("spam", "1")
    Follower(settings, POLICIES, registry).step()
    registry.register("spam", "2")
    registry.register("stream_manipulation", "1")

    assert killed(settings, registry, "verify", "2")
    follower = Follower(settings, POLICIES, registry, timer=lambda: now)
    state = follower.step()
    assert (state.harms["spam"].champion, state.harms["stream_manipulation"].champion) == ("1", "1")
    assert "crashed while it verified" in state.harms["spam"].refused["2"]
    now = RETRY_REFUSED_S + 1
    assert follower.step().harms["spam"].champion == "2"


def test_a_step_gives_up_early_while_the_registry_is_down(settings: Settings, registry: FakeRegistry) -> None:
    follower = Follower(settings, POLICIES, registry)
    registry.down = True
    with pytest.raises(Unavailable):
        follower.step()
    assert registry.asked == 2


def test_the_share_that_a_canary_was_started_with_is_published(
    settings: Settings, registry: FakeRegistry, published: PublishedVersions
) -> None:
    """Also if the service has read other policies: a running service follows `leads models canary --share`."""
    registry.register("spam", "1")
    registry.register("spam", "2", role="canary")
    follower = Follower(settings, POLICIES, registry)
    for tags, share in (
        ({}, POLICIES.harms["spam"].canary.share),
        ({CANARY_SHARE: "0.5"}, 0.5),
        ({CANARY_SHARE: "0.25"}, 0.25),
        ({CANARY_SHARE: "2"}, POLICIES.harms["spam"].canary.share),
        ({CANARY_SHARE: "half"}, POLICIES.harms["spam"].canary.share),
    ):
        registry.tags = tags
        follower.step()
        published.refresh()
        assert published.lineup().canaries["spam"].share == share
        assert next(one for one in published.status() if one.harm == "spam").share == share


def test_changed_policies_are_logged_once_and_the_published_state_names_those_in_use(
    settings: Settings, registry: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policies.yaml"
    original = POLICIES_FILE.read_text(encoding="utf-8")
    path.write_text(original, encoding="utf-8")
    settings = settings.model_copy(update={"policies": path})
    registry.register("spam", "1")
    follower = Follower(settings, load_policies(path), registry)
    changed = original.replace("severity: ", "severity: 1 # ", 1)
    for content, logged in (
        (original, 0), (f"# A comment.\n{original}", 0), (changed, 1), (f"{changed}# A comment.\n", 1),
        ("version: 3", 2), (original, 2), (changed, 3),
    ):  # fmt: skip
        path.write_text(content, encoding="utf-8")
        for _ in range(2):
            assert follower.step().policies == load_policies(POLICIES_FILE).digest
        said = [record.getMessage() for record in caplog.records if "polic" in record.getMessage()]
        assert len(said) == logged, said
    assert said[0] == f"{path} has changed; to apply it, run: leads restart"
    assert "goes on with the file that it read at its start" in said[1]


def test_a_changed_platform_is_logged_and_the_published_state_names_the_one_in_use(
    settings: Settings, registry: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "platform.yaml"
    original = settings.platform.read_text(encoding="utf-8")
    path.write_text(original, encoding="utf-8")
    settings = settings.model_copy(update={"platform": path})
    registry.register("spam", "1")
    follower = Follower(settings, POLICIES, registry)
    read = load_platform(path).digest
    assert follower.step().platform == read
    with only_one(settings.published_dir / LOCK_FILE, what="following the registry"):
        assert changed_files(settings) == []
        path.write_text(original.replace("title: Follow", "title: Follows"), encoding="utf-8")
        assert follower.step().platform == read
        assert changed_files(settings) == [path]
    # Nothing runs.
    assert changed_files(settings) is None
    said = [record.getMessage() for record in caplog.records if str(path) in record.getMessage()]
    assert said == [f"{path} has changed; to apply it, run: leads restart"]


def test_every_version_that_is_fetched_or_verified_is_progress(settings: Settings, registry: FakeRegistry) -> None:
    """A worker waits for the follower as long as there is some, however slow the machine is."""
    seen: list[object] = [verified_so_far(settings.published_dir)]
    registry.register("spam", "1")
    registry.register("sexism", "1")

    def loads(folder: Path) -> ModelVersion:
        seen.append(verified_so_far(settings.published_dir))
        return load(folder)

    Follower(settings, POLICIES, registry, load_=loads).step()
    Follower(settings, POLICIES, registry, load_=loads).step()
    assert len(seen) == 5
    assert all(before != after for before, after in itertools.pairwise(seen))

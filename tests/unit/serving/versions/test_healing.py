"""Published folders that are damaged: who notices, what serves meanwhile, and how they become whole again."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads.errors import FilesDamaged, Unavailable
from leads.settings import Settings
from models import manifest
from models.version import load
from serving.versions import damage, folders
from serving.versions.folders import FULL_CHECK_S, RETRY_DAMAGED_S
from serving.versions.follower import Follower, run
from serving.versions.published import PublishedVersions
from serving.versions.published_state import PublishedState, read_state
from tests.support.serving.fake_registry import FakeRegistry, tamper
from tests.support.serving.killed_follower import killed
from tests.support.serving.world import POLICIES, all_answer

pytestmark = pytest.mark.slow


class Now:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    registry = FakeRegistry(tmp_path / "registry")
    registry.register("spam", "1")
    return registry


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def follower(settings: Settings, registry: FakeRegistry, now: Now) -> Follower:
    """A follower that has published version 1 of spam."""
    follower = Follower(settings, POLICIES, registry, timer=now)
    follower.step()
    return follower


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.published_dir / "spam" / "1"


def process(settings: Settings, engine: Engine) -> PublishedVersions:
    """A process that has just started."""
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    return published


def serves(published: PublishedVersions) -> str | None:
    champion = published.lineup().champions.get("spam")
    return champion and champion.version


def truncate(folder: Path) -> None:
    with (folder / "text.npz").open("r+b") as file:
        file.truncate(1_000)


def flip(folder: Path) -> None:
    """One byte, with the same size and modification time."""
    path = folder / "booster.ubj"
    before = path.stat()
    tamper(folder)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove_file(folder: Path) -> None:
    (folder / "calibrator.json").unlink()


def empty_file(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"")


def remove_number(folder: Path) -> None:
    (folder / "version.txt").unlink()


def other_number(folder: Path) -> None:
    (folder / "version.txt").write_text("7")


def change_manifest(folder: Path) -> None:
    """A manifest that is valid by itself."""
    raw = (folder / "model.json").read_text()
    (folder / "model.json").write_text(raw.replace('"prior_log_odds": -2.0', '"prior_log_odds": -1.0'))


def forbid(folder: Path) -> None:
    (folder / "thresholds.json").chmod(0)


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def damage_what_nobody_loads(folder: Path) -> None:
    (folder / "reference.parquet").write_bytes(b"")


LOADED: list[Callable[[Path], object]] = [
    truncate, flip, remove_file, empty_file, remove_number, other_number, change_manifest, forbid, replace_by_file,
    shutil.rmtree,
]  # fmt: skip
EVERY = [*LOADED, damage_what_nobody_loads]


@pytest.fixture(autouse=True)
def _permissions_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything: make files without permissions unreadable for it too."""
    read = Path.read_bytes

    def checked(path: Path) -> bytes:
        if not path.stat().st_mode & 0o400:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", checked)


@pytest.mark.parametrize("harm_it", EVERY)
def test_the_follower_notices_damage_by_itself_and_fetches_the_version_again(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, harm_it: Callable[[Path], object]
) -> None:
    harm_it(folder)
    state = follower.step()
    load(folder).verify()
    assert registry.fetched == ["1", "1"]
    assert dict(state.harms["spam"].damaged) == {}
    assert state.harms["spam"].champion == "1"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]
    follower.step()
    assert registry.fetched == ["1", "1"]


@pytest.mark.parametrize("harm_it", LOADED)
def test_a_process_started_on_a_damaged_folder_serves_as_soon_as_the_follower_has_healed_it(
    settings: Settings, engine: Engine, follower: Follower, folder: Path, harm_it: Callable[[Path], object]
) -> None:
    running = process(settings, engine)
    harm_it(folder)
    restarted = process(settings, engine)
    assert (serves(running), serves(restarted)) == ("1", None)
    (status,) = (one for one in restarted.status() if one.harm == "spam")
    assert status.damaged
    assert list(status.refused_here) == ["1"]
    assert damage.reported(folder)
    follower.step()
    assert damage.reported(folder) is None
    # Without waiting for its next try: the folder is another one.
    assert restarted.refresh()
    assert all_answer(restarted)
    assert not any(one.damaged for one in restarted.status())
    assert serves(running) == "1"


@pytest.mark.parametrize("harm_it", LOADED)
def test_a_follower_that_starts_finds_what_was_damaged_while_none_ran(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, harm_it: Callable[[Path], object]
) -> None:
    harm_it(folder)
    Follower(settings, POLICIES, registry).step()
    load(folder).verify()
    assert registry.fetched == ["1", "1"]


def test_a_version_that_is_loaded_does_not_depend_on_its_files(
    settings: Settings, engine: Engine, follower: Follower, folder: Path
) -> None:
    """Mapped into memory, a truncated file would end the process, and a changed one would change scores."""
    version = process(settings, engine).lineup().champions["spam"]
    before = version.score_vector(version.score(_rows(version), ["free money", None]).vector).score.tolist()
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(bytes(64))
            file.truncate(64)
    assert version.score(_rows(version), ["free money", None]).score.tolist() == before


def _rows(version: object) -> object:
    import numpy as np

    return np.zeros((2, len(version.contract.columns)), np.float32)  # type: ignore[attr-defined]


def test_damage_that_leaves_sizes_and_times_is_found_within_minutes(
    registry: FakeRegistry, follower: Follower, folder: Path, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may return other bytes than were written, which no time says."""
    frozen = folders.marks(folder)
    monkeypatch.setattr(folders, "marks", lambda _: frozen)
    tamper(folder)
    now.seconds = FULL_CHECK_S - 1
    follower.step()
    assert registry.fetched == ["1"]
    now.seconds = FULL_CHECK_S
    follower.step()
    assert registry.fetched == ["1", "1"]
    load(folder).verify()


def test_the_hashes_of_one_version_are_checked_at_a_time(
    registry: FakeRegistry, follower: Follower, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("sexism", "1")
    follower.step()
    checked: list[Path] = []
    check = manifest.check_files
    monkeypatch.setattr(manifest, "check_files", lambda at, about: (checked.append(at), check(at, about)))
    now.seconds = FULL_CHECK_S
    for done in (1, 2, 2):
        follower.look_after()
        assert len(set(checked)) == done


def test_the_previous_champion_and_trials_are_looked_after_too(
    settings: Settings, registry: FakeRegistry, follower: Follower
) -> None:
    registry.register("spam", "2")
    registry.register("spam", "3", role="canary")
    registry.register("spam", "4", role="challenger")
    state = follower.step().harms["spam"]
    assert state.versions == ("2", "3", "4", "1")
    for version in state.versions:
        tamper(settings.published_dir / "spam" / version)
    follower.step()
    for version in state.versions:
        load(settings.published_dir / "spam" / version).verify()


def test_a_version_damaged_while_it_had_no_role_is_fetched_again_when_it_gets_one(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path
) -> None:
    for version in ("2", "3"):
        registry.register("spam", version)
        follower.step()
    assert follower.step().harms["spam"].versions == ("3", "2")
    tamper(folder)
    registry.named["spam"]["champion"] = "1"
    spam = follower.step().harms["spam"]
    assert (spam.champion, dict(spam.refused), dict(spam.damaged)) == ("1", {}, {})
    load(folder).verify()


def test_without_the_database_versions_with_declared_features_are_not_taken_for_damaged(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise Unavailable("The database can't be reached.")

    monkeypatch.setattr(folders, "check_contract", down)
    spam = Follower(settings, POLICIES, registry).step().harms["spam"]
    assert (spam.champion, dict(spam.damaged)) == ("1", {})
    assert "database" in spam.refused["1"]
    assert registry.fetched == ["1"]


def test_while_mlflow_is_down_the_state_says_so_and_the_follower_goes_on_trying(
    settings: Settings, engine: Engine, registry: FakeRegistry, follower: Follower, folder: Path, now: Now,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    running = process(settings, engine)
    registry.down = True
    tamper(folder)
    for _ in range(4):
        now.seconds += RETRY_DAMAGED_S / 2
        with pytest.raises(Unavailable):
            follower.step()
    spam = read_state(settings.published_dir).harms["spam"]
    assert spam.champion == "1"
    assert spam.damaged == {
        "1": "booster.ubj differs from the file that was registered. Fetching it again failed: MLflow doesn't answer."
    }
    said = [message for message in caplog.messages if "damaged" in message]
    assert len(said) == 2, said
    # Nobody loses what is loaded.
    running.refresh()
    assert serves(running) == "1"
    assert any(one.damaged for one in running.status())
    restarted = process(settings, engine)
    assert serves(restarted) is None
    registry.down = False
    now.seconds += RETRY_DAMAGED_S
    follower.step()
    for one in (running, restarted):
        one.refresh()
        assert all_answer(one)
        assert not any(status.damaged for status in one.status())


def test_the_loop_heals_while_it_backs_off(settings: Settings, registry: FakeRegistry, folder: Path) -> None:
    """Aliases can't be read for a long time, so they are asked for rarely. Artifacts may be there all the same."""
    follower = Follower(settings, POLICIES, registry)
    follower.step()
    stopped = threading.Event()
    registry.unreadable = set(POLICIES.harms)
    thread = threading.Thread(target=run, args=[follower], kwargs={"every_s": 0.05, "stopped": stopped})
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while registry.asked < len(POLICIES.harms) + 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        tamper(folder)
        while registry.fetched != ["1", "1"] and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        stopped.set()
        thread.join()
    load(folder).verify()


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff", None, b'{"checked_at":1,"harms":{}}'])
def test_a_damaged_state_is_written_again(
    settings: Settings, engine: Engine, registry: FakeRegistry, follower: Follower, raw: bytes | None
) -> None:
    """Also while MLflow is down: what the follower published is whole in its memory."""
    before = read_state(settings.published_dir)
    path = settings.published_dir / "state.json"
    path.unlink() if raw is None else path.write_bytes(raw)
    assert serves(process(settings, engine)) is None
    registry.down = True
    with pytest.raises(Unavailable):
        follower.step()
    assert read_state(settings.published_dir) == before
    assert serves(process(settings, engine)) == "1"


def test_a_disk_that_is_full_while_fetching_leaves_everything_as_it_was(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, now: Now,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fetch, full = registry.fetch, [True]

    def half(harm: str, version: str, into: Path) -> Path:
        if full[0]:
            (into / version).mkdir(parents=True)
            (into / version / "model.json").write_bytes(b"{")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fetch(harm, version, into)

    monkeypatch.setattr(registry, "fetch", half)
    damage_what_nobody_loads(folder)
    spam = follower.step().harms["spam"]
    assert "No space left on device" in spam.damaged["1"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]
    # Only what scoring needs is read by a process.
    assert load(folder, every_file=False).version == "1"
    full[0], now.seconds = False, RETRY_DAMAGED_S
    assert dict(follower.step().harms["spam"].damaged) == {}
    load(folder).verify()


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_follower_killed_while_it_fetches_is_followed_by_one_that_completes_it(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, renames: int
) -> None:
    tamper(folder)
    assert killed(settings, registry, "rename", str(renames))
    Follower(settings, POLICIES, registry).step()
    load(folder).verify()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]


def test_a_report_about_a_whole_folder_is_withdrawn(
    registry: FakeRegistry, follower: Follower, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process may fail to read a file for reasons of its own."""
    damage.report(folder, "booster.ubj can't be read: Too many open files.")
    follower.step()
    assert damage.reported(folder) is None
    assert registry.fetched == ["1"]
    assert "was reported as damaged, but is whole: booster.ubj can't be read" in caplog.text


def test_what_cannot_be_verified_is_not_fetched_again_and_again(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, now: Now
) -> None:
    """Its files are whole: what fails is this machine."""
    tried = []

    def fails(at: Path) -> object:
        tried.append(at)
        raise MemoryError

    again = Follower(settings, POLICIES, registry, timer=now, load_=fails)  # type: ignore[arg-type]
    for _ in range(5):
        state = again.step().harms["spam"]
    assert (state.champion, dict(state.damaged)) == ("1", {})
    assert "MemoryError" in state.refused["1"]
    # Once while it looks after it, and once where it is and once fetched again because the alias points to it.
    assert len(tried) == 3
    load(folder).verify()


def test_artifacts_that_are_damaged_too_are_fetched_less_and_less_often(
    settings: Settings, registry: FakeRegistry, follower: Follower, folder: Path, now: Now
) -> None:
    tamper(folder)
    tamper(registry.source / "spam" / "1")
    for _ in range(300):
        follower.step()
        now.seconds += 2.0
    # After 5, 10, 20, 40 s, and then once a minute.
    assert 2 + 4 + 8 <= len(registry.fetched) <= 2 + 4 + 10
    assert read_state(settings.published_dir).harms["spam"].champion == "1"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]


def test_every_error_about_a_file_says_that_another_copy_may_be_whole(folder: Path, follower: Follower) -> None:
    for harm_it in (truncate, remove_file, empty_file):
        follower.step()
        harm_it(folder)
        with pytest.raises(FilesDamaged):
            load(folder)


def test_a_follower_without_anything_published_writes_no_state(settings: Settings, tmp_path: Path) -> None:
    Follower(settings, POLICIES, FakeRegistry(tmp_path / "empty")).look_after()
    assert read_state(settings.published_dir) == PublishedState()
    assert not (settings.published_dir / "state.json").exists()


def test_what_could_not_be_removed_is_removed_later(follower: Follower, folder: Path, now: Now) -> None:
    aside = folder.with_name(".1.aside")
    shutil.copytree(folder, aside)
    follower.step()
    assert aside.exists()
    now.seconds += FULL_CHECK_S
    follower.step()
    assert not aside.exists()
    load(folder).verify()

"""Old files of a home are deleted; what is new, in use, or was written late stays."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from leads import clock
from leads.predictions.log import read_predictions
from leads.retention import home
from leads.retention.removal import files_below
from leads.settings import Settings
from tests.support.prediction_world import batch, ids, write

NOW = clock.now()
MONTH = NOW - 30 * clock.DAY


def put(path: Path, at: int, size: int = 10) -> Path:
    """A file that was last written at a time in µs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (at / 1e6, at / 1e6))
    return path


def log_of(settings: Settings, *days_ago: int, written: bool = True) -> None:
    """A prediction for each number of days ago, in a segment that was written then, or today."""
    for days in days_ago:
        at = NOW - days * clock.DAY
        write(settings.predictions_dir, batch(days, at=at))
        for path in settings.predictions_dir.glob(f"harm=spam/day={clock.to_text(at)[:10]}/*"):
            if written:
                os.utime(path, (at / 1e6, at / 1e6))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_whole_days_of_predictions_go(settings: Settings) -> None:
    log_of(settings, 0, 29, 31, 100)
    size = sum(entry.size for entry in files_below(settings.predictions_dir)) // 2
    counted = home.prune_predictions(settings, MONTH, True)
    assert (counted.items, counted.size) == (2, size)
    assert len(ids(settings.predictions_dir)) == 4
    assert home.prune_predictions(settings, MONTH, False) == counted
    assert ids(settings.predictions_dir) == ["p29", "p0"]
    assert home.prune_predictions(settings, MONTH, False).items == 0


def test_predictions_about_the_past_that_were_made_lately_stay(settings: Settings) -> None:
    """As after a recorded history was ingested, or a backlog was scored."""
    log_of(settings, 400, 401, written=False)
    assert home.prune_predictions(settings, MONTH, False).items == 0
    assert ids(settings.predictions_dir) == ["p401", "p400"]


def test_what_is_written_to_a_day_while_it_is_deleted_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_of(settings, 40)
    at, rename = NOW - 40 * clock.DAY, Path.rename

    def late(path: Path, target: Path) -> Path:
        monkeypatch.undo()
        write(settings.predictions_dir, batch(7, at=at))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert home.prune_predictions(settings, MONTH, False).items == 1
    assert ids(settings.predictions_dir) == ["p7"]


def test_a_reader_that_is_in_the_middle_of_the_log_goes_on(settings: Settings) -> None:
    from leads.predictions.scan import PredictionScan

    log_of(settings, 40, 1)
    slices = PredictionScan(settings.predictions_dir, "spam").slices(["prediction_id"], newest_first=True)
    first = next(slices)
    assert first["prediction_id"].to_pylist() == ["p1"]
    home.prune_predictions(settings, MONTH, False)
    assert list(slices) == []


def test_a_writer_goes_on_in_a_day_that_was_deleted(settings: Settings) -> None:
    log_of(settings, 40)
    home.prune_predictions(settings, MONTH, False)
    write(settings.predictions_dir, batch(8, at=NOW - 40 * clock.DAY))
    assert ids(settings.predictions_dir) == ["p8"]


def test_killed_in_the_middle_it_is_finished_the_next_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(settings, 40, 41)

    def dies(*args: object, **options: object) -> None:
        if Path(str(args[0])).is_dir():
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        home.prune_predictions(settings, MONTH, False)
    monkeypatch.undo()
    assert ids(settings.predictions_dir) == ["p40"]
    home.prune_predictions(settings, MONTH, False)
    home.prune_temporary(settings, clock.now() + clock.HOUR, False)
    assert read_predictions(settings.predictions_dir, "spam").num_rows == 0
    assert names(settings.predictions_dir) == []


def test_old_reports_and_logs_go(settings: Settings) -> None:
    reports, logs = settings.reports_dir, settings.root / "logs"
    put(reports / "drift" / "spam" / "old.html", MONTH - 1, 9_000)
    put(reports / "drift" / "spam" / "new.html", MONTH + clock.SECOND)
    put(logs / "api.log.20250101T000000", MONTH - 1)
    put(logs / "worker-7.log", MONTH - 1)
    put(logs / "api.log", NOW)
    pruned = home.prune_reports(settings, MONTH, False)
    assert (pruned.items, pruned.size) == (1, 12_288)
    assert home.prune_logs(settings, MONTH, False).items == 2
    assert names(reports) == ["drift/spam/new.html"]
    assert names(logs) == ["api.log"]


def test_versions_in_the_cache_go_after_their_last_use(settings: Settings) -> None:
    cache = settings.root / "cache" / "versions" / "spam"
    for version in ("1", "2", ".3.77.tmp"):
        put(cache / version / "manifest.json", MONTH - clock.DAY)
        os.utime(cache / version, (1, 1))
    os.utime(cache / "2")
    assert home.prune_cache(settings, MONTH, False).items == 1
    assert names(cache) == [".3.77.tmp/manifest.json", "2/manifest.json"]


def test_fine_tunings_that_were_ended_go_and_one_that_may_go_on_stays(settings: Settings) -> None:
    work = settings.root / "cache" / "encoder-training"
    for name, at in (("ended", MONTH - 1), ("killed", NOW)):
        put(work / name / "half-0.outputs.npy", MONTH - 1)
        put(work / name / "half-1.safetensors", at, 9_000)
        os.utime(work / name, (1, 1))
    counted = home.prune_cache(settings, MONTH, True)
    assert (counted.items, counted.size) == (1, 16_384)
    assert home.prune_cache(settings, MONTH, False) == counted
    assert names(work) == ["killed/half-0.outputs.npy", "killed/half-1.safetensors"]


def test_vectors_of_an_encoder_that_is_still_used_stay(settings: Settings) -> None:
    folder = settings.encodings_dir
    for name in ("old.db", "old.db-wal", "old.db-shm", "new.db"):
        put(folder / name, MONTH - 1)
    put(folder / "new.db-wal", NOW)
    assert home.prune_encodings(settings, MONTH, False).items == 3
    assert names(folder) == ["new.db", "new.db-wal"]


def test_what_killed_processes_left_goes_and_what_others_are_writing_stays(settings: Settings) -> None:
    """A copy keeps the times of its original, so these alone don't say that nobody is writing."""
    left = [
        put(settings.published_dir / "spam" / ".5.77.tmp" / "version" / "manifest.json", MONTH),
        put(settings.features_dir / ".online-1.json.77.tmp", MONTH),
    ]
    put(settings.published_dir / "state.json", MONTH)
    assert home.prune_temporary(settings, NOW - clock.DAY, False).items == 0
    assert all(path.exists() for path in left)
    assert home.prune_temporary(settings, int(time.time() * 1e6) + clock.HOUR, False).items == 2
    assert names(settings.root) == ["published/state.json"]


def test_what_a_killed_follower_left_goes_unless_it_is_the_only_copy(settings: Settings) -> None:
    spam, later = settings.published_dir / "spam", int(time.time() * 1e6) + clock.HOUR
    put(spam / "5" / "model.json", MONTH)
    put(spam / ".5.aside" / "model.json", MONTH)
    put(spam / ".6.aside" / "model.json", MONTH)
    put(spam / ".fetching" / "7" / "model.json", MONTH)
    (spam / ".4.77.tmp").mkdir()
    assert home.prune_temporary(settings, NOW - clock.DAY, False).items == 0
    assert home.prune_temporary(settings, later, True).items == 3
    assert home.prune_temporary(settings, later, False).items == 3
    assert sorted(path.name for path in spam.iterdir()) == [".6.aside", "5"]

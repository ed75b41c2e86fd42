"""Deletes old files of a home. Every function may be killed, repeated, and run beside the service."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from leads import clock
from leads.clock import Micros
from leads.retention.kinds import is_temporary
from leads.retention.removal import Entry, Pruned, Remover, files_below, newest
from leads.settings import Settings

# Given the settings, the time before which everything goes, and whether only to count.
Prune = Callable[[Settings, Micros, bool], Pruned]


def trainings_of_encoders(settings: Settings) -> Path:
    """The folder that keeps what trainings of encoders have done until they are done."""
    return settings.root / "cache" / "encoder-training"


def prune_predictions(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete the days of the prediction log that ended before this time, and to which nothing was added since.

    A day is that of the time for which a subject was scored. Predictions about the past are often newer than their
    day: a recorded history was ingested, or a backlog was scored.
    """
    remover = Remover(dry_run=dry_run)
    for day in sorted(settings.predictions_dir.glob("harm=*/day=*")):
        if _start_of(day) + clock.DAY <= before:
            remover.folder(day, unless_written_after=before / clock.SECOND)
    return remover.pruned("predictions")


def prune_reports(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete pages and reports that were written before this time."""
    return _prune_files(settings.reports_dir, "reports", before, dry_run)


def prune_logs(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete log files that were last written before this time. A process that is quiet begins a new one."""
    return _prune_files(settings.root / "logs", "logs", before, dry_run)


def prune_cache(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete versions in the cache that were last used before this time, and fine-tunings that nothing was saved of
    since."""
    remover = Remover(dry_run=dry_run)
    for folder in sorted((settings.root / "cache" / "versions").glob("*/*")):
        if not is_temporary(folder.name) and 0 < newest([folder]) < before / clock.SECOND:
            remover.folder(folder)
    # One that runs, or will go on, saves its network every minute.
    for folder in sorted(trainings_of_encoders(settings).glob("*")):
        if not is_temporary(folder.name) and newest([folder]) < before / clock.SECOND:
            remover.folder(folder, unless_written_after=before / clock.SECOND)
    return remover.pruned("cache")


def prune_encodings(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete the vectors of encoders for which nothing was encoded since this time."""
    remover = Remover(dry_run=dry_run)
    entries = list(files_below(settings.encodings_dir))
    for main in (entry for entry in entries if entry.path.suffix == ".db"):
        its = [entry for entry in entries if entry.path.name.startswith(main.path.name)]
        if max(entry.at for entry in its) < before / clock.SECOND:
            # The file itself last: until then, SQLite can still read it.
            for entry in sorted(its, key=lambda one: len(one.path.name), reverse=True):
                remover.file(entry)
    return remover.pruned("encodings")


def prune_temporary(settings: Settings, before: Micros, dry_run: bool) -> Pruned:
    """Delete temporary files and folders that nothing was written or copied to since this time."""
    remover = Remover(dry_run=dry_run)
    for path in _temporary_below(settings.root):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        # When a folder was renamed or something in it was, even if it's empty.
        changed = max((entry.changed for entry in files_below(path)), default=0.0)
        if max(found.st_ctime, changed) >= before / clock.SECOND:
            continue
        if stat.S_ISDIR(found.st_mode):
            remover.folder(path)
        else:
            remover.file(Entry(path, found.st_blocks * 512, found.st_mtime, found.st_ctime))
    return remover.pruned("temporary")


PRUNES: Mapping[str, Prune] = {
    "predictions": prune_predictions,
    "cache": prune_cache,
    "encodings": prune_encodings,
    "reports": prune_reports,
    "logs": prune_logs,
    "temporary": prune_temporary,
}


def _prune_files(folder: Path, kind: str, before: Micros, dry_run: bool) -> Pruned:
    remover = Remover(dry_run=dry_run)
    for entry in files_below(folder):
        # Hidden are locks, and what is being written.
        if entry.at < before / clock.SECOND and not entry.path.name.startswith("."):
            remover.file(entry)
    return remover.pruned(kind)


def _temporary_below(folder: Path) -> Iterator[Path]:
    """Files and folders that a killed process may have left, without looking into them."""
    for parent, folders, names in os.walk(folder):
        for name in sorted(filter(is_temporary, (*folders, *names))):
            # What was moved aside is the only copy until something has taken its place.
            replaced = name.removeprefix(".").removesuffix(".aside")
            if not name.endswith(".aside") or Path(parent, replaced).exists():
                yield Path(parent, name)
        folders[:] = [name for name in folders if not is_temporary(name)]


def _start_of(day: Path) -> Micros:
    try:
        return clock.from_text(f"{day.name.removeprefix('day=')}T00:00:00Z")
    except ValueError:
        # Not a folder of ours: as if it were in the future.
        return 2**62

"""Deleting files and folders while other processes read and write beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# In the home: held by whoever deletes old data, and, shared, by whoever needs that nothing is deleted meanwhile.
LOCK_FILE = "prune.lock"


class Pruned(NamedTuple):
    """What was deleted of a kind, or would be.

    Args:
        items: files, folders, rows or versions.
        size: bytes; None if it isn't known, as for rows.
        trouble: why some of it could not be deleted; empty if nothing failed.
    """

    kind: str
    items: int = 0
    size: int | None = 0
    trouble: str = ""


class Entry(NamedTuple):
    """A file.

    Args:
        size: bytes.
        at: when it was written last, in seconds since epoch. A copy keeps the time of its original.
        changed: when it was written, copied or renamed last, in seconds since epoch.
    """

    path: Path
    size: int
    at: float
    changed: float


class Remover:
    """Deletes files and folders, and counts them. What is gone already isn't counted.

    Args:
        dry_run: only count.
    """

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self.items = self.size = 0

    def file(self, entry: Entry) -> None:
        """Delete a file."""
        with suppress(FileNotFoundError):
            if not self._dry_run:
                entry.path.unlink()
            self.items += 1
            self.size += entry.size

    def folder(self, path: Path, *, unless_written_after: float | None = None) -> None:
        """Delete a folder in one step: first it gets a temporary name, under which nobody looks for it.

        Args:
            unless_written_after: keep it if a file in it was written after this, in seconds since epoch. What is
                written meanwhile isn't lost.
        """
        entries = list(files_below(path))
        if unless_written_after is not None and any(entry.at > unless_written_after for entry in entries):
            return
        if not self._dry_run:
            aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            shutil.rmtree(aside, ignore_errors=True)
            try:
                path.rename(aside)
            except FileNotFoundError:
                return
            if unless_written_after is not None:
                _return_new_files(aside, path, unless_written_after)
            shutil.rmtree(aside, ignore_errors=True)
        self.items += 1
        self.size += sum(entry.size for entry in entries)

    def pruned(self, kind: str, trouble: str = "") -> Pruned:
        """What was deleted so far."""
        return Pruned(kind, self.items, self.size, trouble)


def files_below(folder: Path) -> Iterator[Entry]:
    """The files in a folder and its subfolders, without following links. What disappears meanwhile is left out."""
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                # What a file takes up; files with holes take up less than they are long.
                yield Entry(Path(entry.path), found.st_blocks * 512, found.st_mtime, found.st_ctime)


def newest(paths: Iterable[Path]) -> float:
    """When the last of the files that exist was written, in seconds since epoch; 0 if none exists."""
    found = 0.0
    for path in paths:
        with suppress(FileNotFoundError):
            found = max(found, path.stat().st_mtime)
    return found


def _return_new_files(aside: Path, folder: Path, written_after: float) -> None:
    """Move files that were written just before their folder was renamed back to where they were."""
    for entry in files_below(aside):
        if entry.at > written_after:
            folder.mkdir(exist_ok=True)
            entry.path.rename(folder / entry.path.name)

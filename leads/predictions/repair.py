"""Cleans up what dead writers and failing disks left in the prediction log."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from leads.predictions.segments import host

logger = logging.getLogger(__name__)

# Writing a segment is quick: a temporary file untouched for this long has lost its writer, on whatever host that ran.
_ABANDONED_S = 600.0
# Segments renamed into place more recently than this are not checked.
_SETTLED_S = 60.0
# Only days changed within this time of the newest change are checked, so that a long history doesn't slow the start.
_RECENT_S = 2 * 86_400.0


class Repaired(NamedTuple):
    """`removed`: number of temporary files deleted. `torn`: unreadable segments, renamed to `*.torn` and kept."""

    removed: int
    torn: tuple[Path, ...]


def repair(folder: Path) -> Repaired:
    """Repair the days that changed within two days of the newest change.

    Raises:
        OSError: the folder can't be listed.
    """
    touched = {day: day.stat().st_mtime for day in folder.glob("harm=*/day=*")}
    since = max(touched.values(), default=0.0) - _RECENT_S
    found = [repair_day(day, since) for day, at in touched.items() if at >= since]
    return Repaired(sum(day.removed for day in found), tuple(path for day in found for path in day.torn))


def repair_day(day: Path, since: float = 0.0) -> Repaired:
    """Repair one day of a harm: files written after `since`, in seconds since epoch, whose writers are dead.

    Temporary files are deleted. A segment without a readable footer is renamed, so it is no longer read but not lost.
    """
    removed = 0
    torn: list[Path] = []
    for path, at in _files(day):
        # Another process may repair or merge at the same time; skip files that can't be changed.
        with suppress(OSError):
            if path.name.endswith(".parquet.tmp") and _is_abandoned(path, at):
                path.unlink()
                removed += 1
            elif path.name.endswith(".parquet") and at >= since and _is_settled(path, at) and is_torn(path):
                torn.append(path.rename(path.with_name(f"{path.name}.torn")))
    for path in torn:
        logger.error("prediction log: %s is damaged and its predictions are lost; it is kept for inspection", path)
    return Repaired(removed, tuple(torn))


def is_torn(path: Path) -> bool:
    """Whether the Parquet footer is missing or unreadable.

    Raises:
        OSError: the file can't be read, so its content is unknown.
    """
    with path.open("rb") as file:
        try:
            pq.read_metadata(file)
        except OSError as error:
            # Arrow also raises OSError for invalid content; then it has no errno.
            if error.errno is not None:
                raise
            return True
        except ValueError:
            return True
    return False


def _files(day: Path) -> Iterator[tuple[Path, float]]:
    with os.scandir(day) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat().st_mtime


def _is_settled(path: Path, at: float) -> bool:
    return time.time() - at > _SETTLED_S and _is_abandoned(path, at)


def _is_abandoned(path: Path, at: float) -> bool:
    if time.time() - at > _ABANDONED_S:
        return True
    try:
        _, writer_host, pid, _, _ = path.name.rsplit("-", 4)
        if writer_host == host():
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (ValueError, PermissionError, OverflowError):
        return False
    return False

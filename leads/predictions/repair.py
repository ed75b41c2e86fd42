"""What dead writers and failing disks left in the prediction log is put out of the way."""

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

# A segment is written in one go: a file untouched for this long has lost its writer, wherever that ran.
_FORSAKEN_S = 600.0
# What was renamed into place less than this ago is left alone, whatever it looks like.
_SETTLED_S = 60.0
# How far back from the newest change the log is looked through, so that years of it don't slow a start down.
_RECENT_S = 2 * 86_400.0


class Repaired(NamedTuple):
    """`removed`: temporary files of dead writers. `torn`: segments that can't be read, now named `*.torn`, and kept."""

    removed: int
    torn: tuple[Path, ...]


def repair(folder: Path) -> Repaired:
    """Repair the days that were written to within two days of the newest change.

    Raises:
        OSError: the folder can't be listed.
    """
    touched = {day: day.stat().st_mtime for day in folder.glob("harm=*/day=*")}
    since = max(touched.values(), default=0.0) - _RECENT_S
    found = [repair_day(day, since) for day, at in touched.items() if at >= since]
    return Repaired(sum(one.removed for one in found), tuple(path for one in found for path in one.torn))


def repair_day(day: Path, since: float = 0.0) -> Repaired:
    """Repair one day of a harm: what was written after `since`, in seconds since epoch, and lost its writer.

    Temporary files are removed. A segment whose rows can't be found is renamed: it is read no more, and not lost.
    """
    removed = 0
    torn: list[Path] = []
    for path, at in _files(day):
        # Another process may repair or merge at the same time; what can't be touched is left as it is.
        with suppress(OSError):
            if path.name.endswith(".parquet.tmp") and _is_forsaken(path, at):
                path.unlink()
                removed += 1
            elif path.name.endswith(".parquet") and at >= since and _is_settled(path, at) and is_torn(path):
                torn.append(path.rename(path.with_name(f"{path.name}.torn")))
    for path in torn:
        logger.error("prediction log: %s is torn and its predictions are lost; it is kept for a look at it", path)
    return Repaired(removed, tuple(torn))


def is_torn(path: Path) -> bool:
    """Whether the end of the file, which says where the rows are, is none.

    Raises:
        OSError: the file can't be read, which says nothing about what it holds.
    """
    with path.open("rb") as file:
        try:
            pq.read_metadata(file)
        except OSError as error:
            # Arrow raises it also for nonsense, then without a number.
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
    return time.time() - at > _SETTLED_S and _is_forsaken(path, at)


def _is_forsaken(path: Path, at: float) -> bool:
    if time.time() - at > _FORSAKEN_S:
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

"""The prediction log's small segments become few: one a second and harm is 86,400 files a day.

The merged segment is written whole and durable before the ones in it are removed. Killed in between, their rows are
there twice and read once, and the merged segment's footer names those that are still to be removed. Nothing depends on
there being one compactor; two would do some work twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from leads.background import repeating
from leads.errors import Conflict
from leads.files import only_one
from leads.predictions.repair import repair_day
from leads.predictions.segments import MERGED, day_of, ordered_once, read_segment, unique_name, write_segment

EVERY_S = 180.0
# A segment of so many rows is left as it is.
FULL_ROWS = 50_000
# Segments from one bound to the next are of like size; so many of them become one, so that no row is rewritten often.
_LIKE_SIZES = (0, 1_000, 7_000, FULL_ROWS)
_ENOUGH = 8
# Files that one merge reads.
_MOST = 1_000
# No file is removed within this time of its writing: a reader that misses the merged segment in one listing of the
# folder finds it in the next.
SETTLED_S = 120.0
# A past day that nothing was added to for this long is merged to the last segment.
_QUIET_S = 3_600.0
_PARTS = "leads.merged"


class _Segment(NamedTuple):
    """`at`: when it was written, in seconds since epoch; `parts`: the segments that it replaces."""

    path: Path
    at: float
    rows: int
    parts: frozenset[str]


class Compactor:
    """Merges one prediction log. Not thread-safe.

    Args:
        settled_s: segments younger than this are left alone; see `SETTLED_S`.
    """

    def __init__(self, folder: Path, *, settled_s: float = SETTLED_S) -> None:
        self._folder = folder
        self._settled_s = settled_s
        self._name = unique_name(MERGED)
        self._seq = 0
        # What is known of files that never change, and folders in which nothing is left to do.
        self._known: dict[Path, dict[Path, _Segment]] = {}
        self._done: dict[Path, int] = {}

    def compact(self) -> int:
        """Merge once in each day of each harm where it is due; returns how many segments were merged away.

        Does nothing while another process does it.

        Raises:
            OSError: the folder can't be read or written.
        """
        if not self._folder.is_dir():
            return 0
        error: OSError | None = None
        merged = 0
        with suppress(Conflict), only_one(self._folder / ".compaction.lock", what="merging the prediction log"):
            for day in sorted(self._folder.glob("harm=*/day=*")):
                try:
                    merged += self._compact(day)
                except OSError as failed:
                    # One day that can't be written doesn't keep the others as they are. One that is gone was deleted
                    # meanwhile, because it is older than predictions are kept.
                    if os.path.lexists(day):
                        error = error or failed
        if error:
            raise error
        return merged

    def _compact(self, day: Path) -> int:
        now, touched = time.time(), day.stat().st_mtime_ns
        if self._done.get(day) == touched:
            return 0
        segments = self._look(day)
        small = [one for one in segments if one.rows < FULL_ROWS and now - one.at >= self._settled_s]
        is_past = day.name.removeprefix("day=") < day_of(int(now * 1e6))
        if is_past and all(now - one.at >= _QUIET_S for one in segments):
            chosen = _until_full(small) if len(small) > 1 else []
            if not chosen:
                self._done[day] = touched
                self._known.pop(day, None)
        else:
            chosen = _of_like_size(small)
        return self._merge(day, chosen) if chosen else 0

    def _look(self, day: Path) -> list[_Segment]:
        """The segments of a day, after what was interrupted there was brought to an end."""
        known, torn = self._known.get(day, {}), False
        found: dict[Path, _Segment] = {}
        for path in sorted(day.glob("*.parquet")):
            try:
                found[path] = known.get(path) or _segment(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError):
                torn = True
        if torn or any(day.glob(".*.tmp")):
            repair_day(day)
        for one in list(found.values()):
            for part in one.parts:
                if found.pop(day / part, None):
                    (day / part).unlink(missing_ok=True)
        self._known[day] = found
        return list(found.values())

    def _merge(self, day: Path, chosen: Sequence[_Segment]) -> int:
        tables: dict[Path, pa.Table] = {}
        for one in chosen:
            # Gone: merged by another compactor. Unreadable: whoever reads the log says so.
            with suppress(OSError, KeyError, ValueError, pa.ArrowException):
                tables[one.path] = read_segment(one.path)
        if len(tables) < 2:
            return 0
        table = ordered_once(pa.concat_tables(tables.values()))
        notes = {_PARTS: "\n".join(path.name for path in tables)}
        self._seq += 1
        write_segment(day, f"{self._name}-{self._seq:08d}", table, compression="zstd", notes=notes)
        for path in tables:
            path.unlink(missing_ok=True)
        return len(tables)


def compacting(folder: Path, *, every_s: float = EVERY_S) -> AbstractContextManager[None]:
    """While this is open, merge small segments of the prediction log from a thread of its own."""
    return repeating(Compactor(folder).compact, every_s=every_s, name="compaction of the prediction log")


def _segment(path: Path) -> _Segment:
    at = path.stat().st_mtime
    footer = pq.read_metadata(path)
    parts = (footer.metadata or {}).get(_PARTS.encode(), b"").decode()
    return _Segment(path, at, footer.num_rows, frozenset(parts.split("\n") if parts else ()))


def _of_like_size(segments: Sequence[_Segment]) -> Sequence[_Segment]:
    """The smallest of which there are enough."""
    for low, high in pairwise(_LIKE_SIZES):
        like = [one for one in segments if low <= one.rows < high]
        if len(like) >= _ENOUGH:
            return _until_full(like)
    return []


def _until_full(segments: Sequence[_Segment]) -> Sequence[_Segment]:
    """The first of them, in order of age, that make a full segment together."""
    rows, chosen = 0, list[_Segment]()
    for one in sorted(segments, key=lambda segment: (segment.at, segment.path)):
        if rows >= FULL_ROWS or len(chosen) == _MOST:
            break
        rows += one.rows
        chosen.append(one)
    return chosen

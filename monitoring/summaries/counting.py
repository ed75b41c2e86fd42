"""Counts the predictions of each hour in a host's log. The counts of a day are kept until the day's files change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leads import clock
from leads.clock import Micros
from leads.errors import ConfigurationError
from leads.files import read_json, write_json
from leads.predictions.scan import PredictionScan
from leads.predictions.segments import days


class _Day(msgspec.Struct):
    """A day's predictions by the start of their hour (µs), and the files they were counted in, with their sizes."""

    files: list[tuple[str, int]]
    hours: dict[int, int]
    unreadable: int


class _Kept(msgspec.Struct):
    ignored: list[str]
    days: dict[str, _Day]


class Counted(msgspec.Struct, frozen=True):
    """What a log holds.

    Args:
        hours: the number of predictions by the start of their hour (µs).
        days: the days of which there are files, as in `2026-01-31`.
        unreadable: the number of files that can't be read.
    """

    hours: Counter[Micros]
    days: frozenset[str]
    unreadable: int


def without(table: pa.Table, ignored: Collection[str]) -> pa.Table:
    """The rows whose source isn't ignored."""
    if not ignored:
        return table
    return table.filter(pc.invert(pc.is_in(table["source"], pa.array(sorted(ignored)))))


def count(folder: Path, harm: str, since: Micros, ignored: Collection[str] = ()) -> Counted:
    """Count a harm's predictions in the hours that begin at `since` or later.

    Args:
        folder: the prediction log.
        ignored: sources whose predictions aren't counted.
    """
    path = folder / f"counted-{harm}.json"
    before, found = _read(path, sorted(ignored)), _Kept(sorted(ignored), {})
    for day in days(folder, harm):
        if clock.from_text(f"{day}T00:00:00Z") + clock.DAY <= since:
            continue
        # Before they are read: files that come meanwhile are new the next time.
        files = _files(folder / f"harm={harm}" / f"day={day}")
        known = before.days.get(day)
        same = known is not None and known.files == files and not known.unreadable
        found.days[day] = known if known is not None and same else _count(folder, harm, day, files, ignored)
    if found != before:
        write_json(path, found)
    hours = Counter({hour: n for one in found.days.values() for hour, n in one.hours.items() if hour >= since})
    return Counted(hours, frozenset(found.days), sum(one.unreadable for one in found.days.values()))


def _count(folder: Path, harm: str, day: str, files: list[tuple[str, int]], ignored: Collection[str]) -> _Day:
    start = clock.from_text(f"{day}T00:00:00Z")
    scan = PredictionScan(folder, harm, start, start + clock.DAY)
    found: Counter[Micros] = Counter()
    for table in scan.slices(["at", "source"]):
        hours = without(table, ignored)["at"].to_numpy() // clock.HOUR * clock.HOUR
        starts, counts = np.unique(hours, return_counts=True)
        found.update(dict(zip(starts.tolist(), counts.tolist(), strict=True)))
    return _Day(files, dict(found), len(scan.unreadable))


def _files(folder: Path) -> list[tuple[str, int]]:
    found = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            found.append((path.name, path.stat().st_size))
        except FileNotFoundError:
            # It was merged meanwhile.
            continue
    return found


def _read(path: Path, ignored: list[str]) -> _Kept:
    """What was kept, unless other sources were ignored then."""
    if not path.exists():
        return _Kept(ignored, {})
    try:
        kept = read_json(path, _Kept, remedy="It is written again.")
    except ConfigurationError:
        return _Kept(ignored, {})
    return kept if kept.ignored == ignored else _Kept(ignored, {})

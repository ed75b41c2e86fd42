"""Reads parts of the prediction log: a harm's predictions in a range of time, in slices, with only the columns needed.

A slice is at most an hour, or as many hours as have about 100,000 predictions, so memory doesn't grow with the range.
Rows of one prediction have the same `at`, so they are in the same slice, where all but the first are dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.predictions.batch import ADDED, SCHEMA
from leads.predictions.segments import MERGED, days, in_schema, ordered_once

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SLICE_ROWS = 100_000
# What `ordered_once` needs.
_ORDER = ("at", "scored_at", "prediction_id")
_ALWAYS: Micros = 2**62
# What a segment that can't be read, or is none, raises.
_UNREADABLE = (OSError, KeyError, ValueError, pa.ArrowException)


class Scanned(NamedTuple):
    """The log's rows, and the segments that could not be read."""

    table: pa.Table
    unreadable: tuple[Path, ...]


class _RowGroup(NamedTuple):
    """A row group of a segment, its number of rows, and their earliest and latest `at`."""

    path: Path
    number: int
    rows: int
    first: Micros
    last: Micros


class Extent(NamedTuple):
    """How many predictions a scan has, and the `at` of the first; None without any."""

    rows: int
    first: Micros | None


class PredictionScan:
    """A harm's predictions with since ≤ `at` < until; each end may be open.

    Segments that can't be read are skipped with a warning in the log, and collected in `unreadable`.

    Args:
        version: only predictions of this model version.
    """

    def __init__(
        self,
        folder: Path,
        harm: str,
        since: Micros | None = None,
        until: Micros | None = None,
        *,
        version: str | None = None,
    ) -> None:
        self._folder = folder / f"harm={harm}"
        self._days = days(folder, harm)
        self._since = -_ALWAYS if since is None else since
        self._until = _ALWAYS if until is None else until
        self._version = version
        self._unreadable: dict[Path, None] = {}

    @property
    def unreadable(self) -> tuple[Path, ...]:
        """The segments that couldn't be read, as far as slices were."""
        return tuple(self._unreadable)

    def slices(self, columns: Sequence[str] = SCHEMA.names, *, newest_first: bool = False) -> Iterator[pa.Table]:
        """The predictions in slices of time, each with its rows ordered by `at`; slices without rows are left out.

        Args:
            columns: of `SCHEMA`, which the tables have, in this order.
            newest_first: begin with the latest slice.
        """
        for name in sorted(self._days, reverse=newest_first):
            start = clock.from_text(f"{name}T00:00:00Z")
            if start < self._until and start + clock.DAY > self._since:
                yield from self._day(self._folder / f"day={name}", columns, newest_first)

    def extent(self) -> Extent:
        """How many predictions there are of all versions, and since when, mostly from the footers of the segments.

        A prediction that is stored twice, because a process died while it merged segments, counts twice.
        """
        found = [(0, _ALWAYS)]
        for name in self._days:
            start = clock.from_text(f"{name}T00:00:00Z")
            if start < self._until and start + clock.DAY > self._since:
                found += self._counted(self._folder / f"day={name}")
        rows, first = sum(n for n, _ in found), min(first for _, first in found)
        return Extent(rows, first if rows else None)

    def _counted(self, folder: Path) -> list[tuple[int, Micros]]:
        """The number of rows, and their first `at`, of each row group of a day."""
        while True:
            try:
                return [self._count(group) for group in self._row_groups(folder)]
            except FileNotFoundError:
                # A segment was merged meanwhile.
                continue

    def _count(self, group: _RowGroup) -> tuple[int, Micros]:
        if group.last < self._since or group.first >= self._until:
            return 0, _ALWAYS
        if self._since <= group.first and group.last < self._until:
            return group.rows, group.first
        try:
            rows = self._rows(group, self._since, self._until, ["at"])
        except FileNotFoundError:
            raise
        except _UNREADABLE:
            self._skip(group.path)
            return 0, _ALWAYS
        return rows.num_rows, int(pc.min(rows["at"]).as_py()) if rows.num_rows else _ALWAYS

    def _day(self, folder: Path, columns: Sequence[str], newest_first: bool) -> Iterator[pa.Table]:
        groups = self._row_groups(folder)
        ranges = _ranges(groups)
        for first, end in reversed(ranges) if newest_first else ranges:
            since, until = max(first, self._since), min(end, self._until)
            if since >= until:
                continue
            table = self._slice(groups, since, until, columns)
            while table is None:
                # A segment was merged meanwhile. Its rows are in a segment that is listed now.
                groups = self._row_groups(folder)
                table = self._slice(groups, since, until, columns)
            if table.num_rows:
                yield table.select(list(columns))

    def _slice(
        self, groups: Sequence[_RowGroup], since: Micros, until: Micros, columns: Sequence[str]
    ) -> pa.Table | None:
        """The rows of one slice. Returns None if a segment has been deleted meanwhile."""
        names = list(dict.fromkeys((*columns, *_ORDER, *(("model_version",) if self._version is not None else ()))))
        tables = [pa.schema([SCHEMA.field(name) for name in names]).empty_table()]
        for group in groups:
            if group.path in self._unreadable or group.first >= until or group.last < since:
                continue
            try:
                tables.append(self._rows(group, since, until, names))
            except FileNotFoundError:
                return None
            except _UNREADABLE:
                self._skip(group.path)
        return ordered_once(pa.concat_tables(tables))

    def _rows(self, group: _RowGroup, since: Micros, until: Micros, names: Sequence[str]) -> pa.Table:
        with pq.ParquetFile(group.path) as segment:
            there = [name for name in names if name in segment.schema_arrow.names]
            table = in_schema(segment.read_row_group(group.number, columns=there), names)
        wanted = (pc.field("at") >= since) & (pc.field("at") < until)
        if self._version is not None:
            wanted &= pc.field("model_version") == self._version
        return table.filter(wanted)

    def _row_groups(self, folder: Path) -> list[_RowGroup]:
        found = read_folder(folder, _row_groups_of)
        for path, groups in found.items():
            if groups is None:
                self._skip(path)
        return [group for groups in found.values() for group in groups or ()]

    def _skip(self, path: Path) -> None:
        if path not in self._unreadable:
            logger.warning("prediction log: %s can't be read and is skipped", path)
            self._unreadable[path] = None


def read_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> pa.Table:
    """A harm's predictions with since ≤ `at` < until, each once, ordered by `at`; columns as in `SCHEMA`.

    All of them at once: for small logs. Unreadable segments are skipped with a warning in the log; `scan_predictions`
    also returns them.
    """
    return scan_predictions(folder, harm, since, until).table


def scan_predictions(folder: Path, harm: str, since: Micros | None = None, until: Micros | None = None) -> Scanned:
    """Like `read_predictions`, but also returns the segments that could not be read."""
    scan = PredictionScan(folder, harm, since, until)
    table = pa.concat_tables([SCHEMA.empty_table(), *scan.slices()])
    return Scanned(table, scan.unreadable)


def _row_groups_of(path: Path) -> list[_RowGroup]:
    """The row groups of a segment. Without statistics, the times of a row group's rows are those of its day.

    Raises:
        ValueError: it lacks columns, so it isn't a segment.
    """
    with pq.ParquetFile(path) as segment:
        footer, names = segment.metadata, segment.schema_arrow.names
    if missing := [name for name in SCHEMA.names if name not in names and name not in ADDED]:
        raise ValueError(f"columns are missing: {', '.join(missing)}")
    start = clock.from_text(f"{path.parent.name.removeprefix('day=')}T00:00:00Z")
    column = footer.schema.names.index("at")
    found = []
    for number in range(footer.num_row_groups):
        known = footer.row_group(number).column(column).statistics
        first, last = (known.min, known.max) if known and known.has_min_max else (start, start + clock.DAY - 1)
        found.append(_RowGroup(path, number, footer.row_group(number).num_rows, first, last))
    return found


def _ranges(groups: Sequence[_RowGroup]) -> list[tuple[Micros, Micros]]:
    """The hours that have rows, in order, joined while they have few. Rows count as spread evenly over their group."""
    rows: dict[int, float] = {}
    for one in groups:
        hours = range(one.first // clock.HOUR, one.last // clock.HOUR + 1)
        for hour in hours:
            rows[hour] = rows.get(hour, 0) + one.rows / len(hours)
    ranges: list[tuple[Micros, Micros]] = []
    held = 0.0
    for hour in sorted(rows):
        start = hour * clock.HOUR
        if ranges and held + rows[hour] <= _SLICE_ROWS:
            start, _ = ranges.pop()
        else:
            held = 0.0
        held += rows[hour]
        ranges.append((start, (hour + 1) * clock.HOUR))
    return ranges


def read_folder(folder: Path, read: Callable[[Path], T]) -> dict[Path, T | None]:
    """Read all segments of a folder, also while some are being merged; None for those that can't be read."""
    found: dict[Path, T | None] = {}
    gone: set[Path] = set()
    listings, again = 0, True
    while again:
        fresh = [path for path in sorted(folder.glob("*.parquet")) if path not in found]
        # Rows of segments that are gone or weren't listed are in a merged segment, listed now or the next time.
        again = not listings or any(path.name.startswith(MERGED) for path in fresh)
        listings += 1
        for path in fresh:
            try:
                found[path] = read(path)
            except FileNotFoundError:
                if path in gone:
                    found[path] = None
                gone.add(path)
                again = True
            except _UNREADABLE:
                found[path] = None
    return found

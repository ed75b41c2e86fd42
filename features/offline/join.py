"""The point-in-time join: for each (key, instant), the newest row in the segments that was visible by then.

It gives what Feast's join gives, in memory that doesn't grow with the segments: first it reads keys and times, a row
group at a time, and remembers where the newest row of each query is. Then it reads the rows themselves, again a row
group at a time, and copies those that were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.layout import Instants, Layout, Matrix
from features.offline.segments import stored_rows
from features.rows import LinkValues, links_in, unpack

Ints = npt.NDArray[np.int64]


class RowGroup(NamedTuple):
    """A part of a segment that is read at once."""

    path: Path
    number: int


class Places(NamedTuple):
    """Where the rows of n queries are: an index into `groups` and the row in it; -1 for no row."""

    groups: list[RowGroup]
    group: Ints
    row: Ints


class _Queries:
    """n queries, sorted by key and instant, and the best row found for each so far."""

    def __init__(self, keys: Sequence[str | None], at: Instants) -> None:
        self.asked = np.array([i for i, key in enumerate(keys) if key is not None and at[i] > 0], dtype=np.int64)
        names = pa.array([keys[i] for i in self.asked.tolist()], pa.string()).dictionary_encode()
        self.names = names.dictionary
        self._codes: Ints = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._at = at[self.asked]
        n = len(self.asked)
        self.best = np.full(n, -1, np.int64)
        self.group = np.full(n, -1, np.int64)
        self.row = np.full(n, -1, np.int64)
        by_code = np.argsort(self._codes, kind="stable")
        self._by_code = by_code
        counts = np.bincount(self._codes, minlength=len(self.names))
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts

    def offer(self, group: int, codes: Ints, rows: Ints, visible_at: Ints) -> None:
        """Let the queries take the rows of a row group that have one of their keys, if they are newer."""
        concerned = np.unique(codes)
        queries = np.concatenate([self._by_code[self._starts[code] : self._ends[code]] for code in concerned.tolist()])
        # Rows and queries in one order: a query takes the last row of its key before it.
        all_codes = np.concatenate([codes, self._codes[queries]])
        times = np.concatenate([visible_at, self._at[queries]])
        is_query = np.concatenate([np.zeros(len(codes), np.int8), np.ones(len(queries), np.int8)])
        order = np.lexsort((is_query, times, all_codes))
        is_row = order < len(codes)
        last = np.maximum.accumulate(np.where(is_row, np.arange(len(order)), -1))
        places = np.flatnonzero(~is_row & (last >= 0))
        source, asking = order[last[places]], queries[order[places] - len(codes)]
        taken = (all_codes[source] == self._codes[asking]) & (visible_at[source] > self.best[asking])
        source, asking = source[taken], asking[taken]
        self.best[asking] = visible_at[source]
        self.group[asking] = group
        self.row[asking] = rows[source]


def locate(files: Sequence[Path], layout: Layout, keys: Sequence[str | None], at: Instants) -> Places:
    """Where the newest row of each query is.

    Args:
        files: the view's segments; a row may be in two of them.
        keys: n keys; None for no query.
        at: (n,) µs since epoch; the newest row with `visible_at` ≤ `at` is found. 0 for no query.
    """
    queries = _Queries(keys, at)
    groups: list[RowGroup] = []
    if len(queries.asked):
        for group, table in _row_groups(files, [layout.join_key, "visible_at"]):
            found = pc.index_in(table[layout.join_key].combine_chunks(), value_set=queries.names)
            rows: Ints = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
            if len(rows):
                codes = found.take(pa.array(rows)).to_numpy(zero_copy_only=False).astype(np.int64)
                visible_at = table["visible_at"].cast(pa.int64()).to_numpy()[rows]
                queries.offer(len(groups), codes, rows, visible_at)
            groups.append(group)
    place = Places(groups, np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64))
    place.group[queries.asked] = queries.group
    place.row[queries.asked] = queries.row
    return place


def read_packed(layout: Layout, places: Places, into: Matrix) -> None:
    """Copy the rows at these places into the (n, width) matrix; queries without a row are left as they are."""

    for queries, rows in _read(layout, places):
        into[queries] = unpack(layout, rows)


def read_links(layout: Layout, places: Places) -> list[LinkValues]:
    """The links stored with the rows at these places; None for queries without a row."""
    links: list[LinkValues] = [(None,) * len(layout.links)] * len(places.row)
    if layout.links:
        for queries, rows in _read(layout, places):
            for query, row in zip(queries.tolist(), rows, strict=True):
                links[query] = links_in(layout, row)
    return links


def _read(layout: Layout, places: Places) -> Iterator[tuple[Ints, list[bytes]]]:
    """The queries that found their rows in the same row group, and these rows, one row group after the other."""
    order = np.argsort(places.group, kind="stable")
    order = order[places.group[order] >= 0]
    starts = np.flatnonzero(np.diff(places.group[order], prepend=-1))
    for queries in np.split(order, starts[1:]) if len(order) else []:
        group = places.groups[int(places.group[queries[0]])]
        with pq.ParquetFile(group.path) as segment:
            yield queries, stored_rows(layout, segment, group.number, places.row[queries])


def _row_groups(files: Sequence[Path], columns: list[str]) -> Iterator[tuple[RowGroup, pa.Table]]:
    for path in files:
        with pq.ParquetFile(path) as segment:
            for number in range(segment.num_row_groups):
                yield RowGroup(path, number), segment.read_row_group(number, columns=columns)

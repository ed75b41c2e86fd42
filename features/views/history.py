"""The Parquet source of an own view: reading it, and joining its values point in time.

A row is visible from its timestamp on; if the view has a column that says when a row became available, then not before
that. Of the visible rows the one with the latest timestamp counts, of equal ones the one that became available last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.layout import Instants, Matrix
from features.views.columns import check_columns, check_range, invalid_source, times_of
from features.views.declaration import ViewDeclaration
from features.views.layout import OwnView
from leads.errors import NotFound

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_BATCH = 65_536
_TIME = pa.timestamp("us", tz="UTC")


class Rows(NamedTuple):
    """n rows of a source, in the order of the file.

    Args:
        keys: of their entities.
        at: (n,) µs, their timestamps.
        available: (n,) µs, when they became available; the timestamp where that isn't known.
        table: their columns.
    """

    keys: pa.Array
    at: Ints
    available: Ints
    table: pa.Table

    def values(self, columns: Sequence[str]) -> Doubles:
        """(n, columns) their numbers, NaN for null."""
        read = [self.table[name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for name in columns]
        return np.column_stack(read)


def source_files(view: str, declared: ViewDeclaration) -> list[Path]:
    """The Parquet files of a view.

    Raises:
        NotFound: there are none.
    """
    path = Path(declared.path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise NotFound(
            f"The Parquet source of the view {view} isn't there: {path}",
            field="LEADS_FEATURE_VIEWS",
            remedy="Write it, or correct the path of the view's FileSource.",
        )
    return files


def check_source(view: str, declared: ViewDeclaration) -> None:
    """Check that each file has the columns, with types that fit. Reading a source checks the same.

    Raises:
        NotFound: there are no files.
        ConfigurationError: a file isn't valid.
    """
    for path in source_files(view, declared):
        with _opened(view, declared, path):
            pass


def read_rows(view: str, declared: ViewDeclaration) -> Iterator[Rows]:
    """The rows of a view's source, some at a time. Rows without a key or a timestamp are left out.

    Raises:
        NotFound, ConfigurationError: as `check_source`; also for a number that its column can't hold.
    """
    # A column may be named twice: as the timestamp and as the time at which a row became available.
    columns = dict.fromkeys((declared.join_key, *times_of(declared), *declared.columns))
    for path in source_files(view, declared):
        with _opened(view, declared, path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns)):
                rows = _rows(declared, pa.Table.from_batches([batch]))
                check_range(view, declared, path, rows.table)
                yield rows


def count_rows(view: str, declared: ViewDeclaration) -> int:
    """The number of rows in a view's source. Raises as `check_source`."""
    found = 0
    for path in source_files(view, declared):
        with _opened(view, declared, path) as file:
            found += file.metadata.num_rows
    return found


@contextmanager
def _opened(view: str, declared: ViewDeclaration, path: Path) -> Iterator[pq.ParquetFile]:
    """A file whose columns are as declared; errors of reading it are translated."""
    try:
        with pq.ParquetFile(path) as file:
            check_columns(view, declared, path, file.schema_arrow)
            yield file
    except (OSError, pa.ArrowException) as error:
        raise invalid_source(view, path, f"can't be read: {' '.join(str(error).split())}") from error


def read_history(
    view: OwnView, keys: Sequence[str | None], at: Instants, into: Matrix, *, available: Instants | None = None
) -> None:
    """Write the row of each of n queries that was visible at its instant to an (n, width) matrix; others stay.

    Memory grows with the queries, not with the source.

    Args:
        keys: n keys; None for no query.
        at: (n,) µs since epoch: the latest timestamp that a row may have; 0 for no query.
        available: (n,) µs: the latest time at which a row may have become available; by default, `at`.
    """
    queries = _Queries(keys, at, at if available is None else available)
    if not len(queries.asked):
        return
    for rows in read_rows(view.name, view.declaration):
        which, found = queries.offer(rows)
        if len(which):
            taken = Rows(rows.keys, rows.at, rows.available, rows.table.take(pa.array(found)))
            into[which] = view.rows(rows.at[found], taken.values(view.columns))


def first_after(view: OwnView, keys: Sequence[str], after: Instants, up_to: Instants) -> Instants:
    """(k,) when each key's first row with a timestamp later than `after`, (k,), became visible, if it was by `up_to`.

    Where there is none, `up_to`.
    """
    wanted, since, until = pa.array(sorted(set(keys)), pa.string()), int(after.min()), int(up_to.max())
    by_key: dict[str, list[tuple[int, int]]] = {}
    for rows in read_rows(view.name, view.declaration):
        visible = np.maximum(rows.at, rows.available)
        known = pc.is_in(rows.keys, value_set=wanted).to_numpy(zero_copy_only=False)
        for i in np.flatnonzero(known & (rows.at > since) & (visible <= until)).tolist():
            by_key.setdefault(rows.keys[i].as_py(), []).append((int(rows.at[i]), int(visible[i])))
    first = [
        min([seen for at, seen in by_key.get(key, ()) if at > earliest] + [latest])
        for key, earliest, latest in zip(keys, after.tolist(), up_to.tolist(), strict=True)
    ]
    return np.array(first, np.int64)


class _Queries:
    """n queries, and the time of the best row of each so far."""

    def __init__(self, keys: Sequence[str | None], at: Instants, available: Instants) -> None:
        self.asked: Ints = np.array([i for i, key in enumerate(keys) if key is not None and at[i] > 0], np.int64)
        names = pa.array([keys[i] for i in self.asked.tolist()], pa.string()).dictionary_encode()
        self._names = names.dictionary
        self._codes: Ints = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._at, self._available = at[self.asked], available[self.asked]
        self._best = np.full((2, len(self.asked)), np.iinfo(np.int64).min)

    def offer(self, rows: Rows) -> tuple[Ints, Ints]:
        """Let the queries take rows that are better than those they have; returns the queries and their rows."""
        codes = pc.index_in(rows.keys, value_set=self._names)
        known: Ints = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
        if not len(known):
            return known, known
        of_rows: Ints = codes.take(pa.array(known)).to_numpy(zero_copy_only=False).astype(np.int64)
        queries: Ints = np.flatnonzero(np.isin(self._codes, np.unique(of_rows)))
        if (self._at == self._available)[queries].all():
            # A row is visible from the later of both times on.
            places = _newest(of_rows, rows, known, self._codes[queries], self._at[queries])
        else:
            places = _newest_by(of_rows, rows, known, self._codes[queries], self._at[queries], self._available[queries])
        queries, places = queries[places >= 0], places[places >= 0]
        new = np.stack([rows.at[places], rows.available[places]])
        best = self._best[:, queries]
        better = (new[0] > best[0]) | ((new[0] == best[0]) & (new[1] >= best[1]))
        queries, places = queries[better], places[better]
        self._best[:, queries] = new[:, better]
        return self.asked[queries], places


def _newest(of_rows: Ints, rows: Rows, known: Ints, of_queries: Ints, at: Instants) -> Ints:
    """The row of each query among the `known` ones; -1 for none."""
    visible = np.maximum(rows.at[known], rows.available[known])
    ranks = np.empty(len(known), np.int64)
    by_rank = np.lexsort((np.arange(len(known)), rows.available[known], rows.at[known]))
    ranks[by_rank] = np.arange(len(known))
    # Rows and queries in one order of keys and times. The highest rank so far is the newest row that is visible.
    codes, times = np.concatenate([of_rows, of_queries]), np.concatenate([visible, at])
    is_query = np.arange(len(codes)) >= len(known)
    order = np.lexsort((is_query, times, codes))
    best = np.full(len(codes), -1, np.int64)
    best[: len(known)] = of_rows * len(known) + ranks
    highest = np.empty(len(codes), np.int64)
    highest[order] = np.maximum.accumulate(best[order])
    asked = highest[len(known) :]
    found = (asked >= 0) & (asked // len(known) == of_queries)
    return np.where(found, known[by_rank[asked % len(known)]], -1)


def _newest_by(of_rows: Ints, rows: Rows, known: Ints, of_queries: Ints, at: Instants, available: Instants) -> Ints:
    """As `_newest`, where rows may have become available after the instant. Few queries need it."""
    places = np.full(len(of_queries), -1, np.int64)
    for i, (code, latest, until) in enumerate(zip(of_queries.tolist(), at.tolist(), available.tolist(), strict=True)):
        some = known[of_rows == code]
        some = some[(rows.at[some] <= latest) & (rows.available[some] <= until)]
        if len(some):
            places[i] = some[np.lexsort((some, rows.available[some], rows.at[some]))[-1]]
    return places


def _rows(declared: ViewDeclaration, table: pa.Table) -> Rows:
    table = table.filter(pc.and_(table[declared.join_key].is_valid(), table[declared.timestamp].is_valid()))
    at = _micros(table[declared.timestamp])
    available = at
    if declared.available:
        given = table[declared.available]
        available = np.where(given.is_valid().to_numpy(), _micros(given), at)
    return Rows(table[declared.join_key].cast(pa.string()).combine_chunks(), at, available, table)


def _micros(column: pa.ChunkedArray) -> Ints:
    """µs since epoch, 0 for null. Times without a zone are in UTC, as for Feast."""
    found: Ints = column.cast(_TIME, safe=False).cast(pa.int64()).fill_null(0).to_numpy()
    return found

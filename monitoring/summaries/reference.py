"""A version's reference sample: the rows that its training took to be usual, as they can be compared with summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.estimates.slices import slice_of
from models.manifest import REFERENCE
from models.reference_columns import ACCOUNT, AT, CATEGORY, NUMBER, TYPE_ID, WORDS
from models.version import ModelVersion
from monitoring.summaries.clusters import design_effects
from monitoring.summaries.summary import SCORE, Summary
from monitoring.summaries.tally import TYPE, Described, Rows

Ints = npt.NDArray[np.int64]
T = TypeVar("T")
# Tells which part of the day or week an instant is in.
PartOf = Callable[[Ints], Ints]
_PART_HOURS = 3


def part_of_week(at: Ints) -> Ints:
    """Three hours of a day, apart for weekends (UTC)."""
    # 1 January 1970 was a Thursday.
    weekend = (at // clock.DAY + 3) % 7 >= 5
    return weekend * 100 + part_of_day(at)


def part_of_day(at: Ints) -> Ints:
    """Three hours of a day (UTC)."""
    return at % clock.DAY // (_PART_HOURS * clock.HOUR)


def any_time(at: Ints) -> Ints:
    """The same for every instant."""
    return np.zeros_like(at)


@dataclass(eq=False)
class Reference:
    """Rows that were scored before the version was trained, each of a subject in an hour.

    Args:
        rows: what is known of them.
        at: (n,) when each was scored, µs; None for a version of an earlier release, which doesn't say.
        accounts: n accounts whose subjects they are, as far as known; empty if nothing is known.
    """

    rows: Rows
    at: Ints | None = None
    accounts: Sequence[str | None] = ()
    _parts: dict[tuple[str, PartOf], dict[int, Summary]] = field(default_factory=dict)
    _slices: dict[str, Ints] | None = None
    _design: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows.scores)

    @property
    def since(self) -> Micros | None:
        """The time from which on nine tenths of its rows were scored, µs; None if that isn't known."""
        return None if self.at is None or not len(self.at) else int(np.quantile(self.at, 0.1))

    def design(self, slice_: str) -> Mapping[str, float]:
        """How many of its rows say as much as one row of an account of its own, by column; see `clusters`."""
        if slice_ not in self._design:
            self._design[slice_] = design_effects(self.rows, self.accounts, self.slice(slice_))
        return self._design[slice_]

    def slice(self, name: str) -> Ints:
        """The places of the rows that are in a slice, such as `type=comment`; of all for the empty name."""
        if self._slices is None:
            by = [TYPE, *self.rows.described.categories]
            found = self.rows.divided(by)
            self._slices = {slice_of(**{key: value}): places for (key, value), places in found.items()}
        if not name:
            return np.arange(len(self))
        return self._slices.get(name, np.empty(0, np.int64))

    def parts(self, slice_: str, part_of: PartOf) -> dict[int, Summary]:
        """The summaries of a slice's rows in each part of the day or week."""
        key = slice_, part_of
        if key not in self._parts:
            places = self.slice(slice_)
            part = np.zeros(len(places), np.int64) if self.at is None else part_of(self.at[places])
            self._parts[key] = {
                int(one): self.rows.summary(chosen, len(chosen))
                for one in np.unique(part)
                if len(chosen := places[part == one])
            }
        return self._parts[key]


def read_reference(version: ModelVersion) -> Reference:
    """The reference sample in a version's folder.

    Raises:
        ValueError: it is missing or can't be read; the message says why.
    """
    return of_file(version.folder / REFERENCE, version.input_names, version.tier)


def of_file(path: Path, names: tuple[str, ...], tier_of: Callable[[float], str]) -> Reference:
    """The reference sample in a Parquet file.

    Args:
        names: the version's inputs.
        tier_of: the tier of a score.

    Raises:
        ValueError: it is missing or can't be read; the message says why.
    """
    try:
        table = pq.read_table(path)
        matrix = np.column_stack([table[name].to_numpy().astype(np.float64) for name in names])
        scores = table[SCORE].to_numpy().astype(np.float64)
        at = table[AT].to_numpy() if AT in table.column_names else None
        types = table[TYPE_ID].to_pylist() if TYPE_ID in table.column_names else [None] * table.num_rows
        accounts = table[ACCOUNT].to_pylist() if ACCOUNT in table.column_names else ()
        described = Described(
            _named(table, CATEGORY, lambda column: column.to_pylist()),
            _named(table, NUMBER, lambda column: column.to_numpy().astype(np.float64)),
            _named(table, WORDS, lambda column: [words or () for words in column.to_pylist()]),
        )
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"the reference sample is missing or can't be read: {error}") from error
    rows = Rows(scores, [tier_of(score) for score in scores.tolist()], types, names, matrix, described)
    return Reference(rows, at, accounts)


def _named(table: pa.Table, prefix: str, read: Callable[[pa.ChunkedArray], T]) -> Mapping[str, T]:
    return {name.removeprefix(prefix): read(table[name]) for name in table.column_names if name.startswith(prefix)}

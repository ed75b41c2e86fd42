"""Counts rows into a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitoring.summaries.sketch import Sketch, sketch
from monitoring.summaries.summary import SCORE, TIER, Summary

TYPE = "type"


class Described(NamedTuple):
    """What is known of n subjects beyond their model's input, aligned with them.

    Args:
        categories: by name, the value of each subject; None where it has none.
        numbers: by name, (n,) float64, NaN where missing.
        words: by name, what each subject has of it: any number of values.
    """

    categories: Mapping[str, Sequence[str | None]]
    numbers: Mapping[str, npt.NDArray[np.float64]]
    words: Mapping[str, Sequence[Collection[str]]]


NOTHING = Described({}, {}, {})


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to count, one for each subject.

    Args:
        scores: (n,) float64.
        tiers, types: n values.
        names: the m inputs.
        matrix: (n, m) NaN or infinite where missing; None if the inputs aren't known.
    """

    scores: npt.NDArray[np.float64]
    tiers: Sequence[str]
    types: Sequence[str | None]
    names: tuple[str, ...] = ()
    matrix: npt.NDArray[np.floating[Any]] | None = None
    described: Described = NOTHING

    def summary(self, rows: npt.NDArray[np.int64], predictions: int) -> Summary:
        """The summary of some of the rows."""
        scores = self.scores[rows]
        columns: dict[str, Sketch] = {SCORE: sketch(scores)}
        if self.matrix is not None:
            columns |= {
                name: sketch(column.astype(np.float64))
                for name, column in zip(self.names, self.matrix[rows].T, strict=True)
            }
        columns |= {name: sketch(values[rows]) for name, values in self.described.numbers.items()}
        tiers = np.array(self.tiers, dtype=object)[rows]
        by_tier = {str(tier): (int((tiers == tier).sum()), float(scores[tiers == tier].sum())) for tier in set(tiers)}
        categories: dict[str, dict[str, int]] = {TIER: dict(Counter(map(str, tiers)))}
        places = rows.tolist()
        for name, values in {TYPE: self.types, **self.described.categories}.items():
            categories[name] = dict(Counter(value for i in places if (value := values[i]) is not None))
        for name, lists in self.described.words.items():
            categories[name] = dict(Counter(word for i in places for word in lists[i]))
        return Summary(len(rows), predictions, columns, categories, by_tier)

    def divided(self, by: Sequence[str]) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
        """The rows of each value of the categories `by`, most frequent first, at most `MOST_VALUES` of a category."""
        found = {}
        for name in by:
            values = self.types if name == TYPE else self.described.categories.get(name, ())
            places: dict[str, list[int]] = {}
            for i, value in enumerate(values):
                if value is not None:
                    places.setdefault(value, []).append(i)
            # A slice of all rows would say the same again.
            if len(places) > 1 or name != TYPE:
                for value, at in sorted(places.items(), key=lambda pair: -len(pair[1]))[:MOST_VALUES]:
                    found[name, value] = np.array(at)
        return found


# Values of a category that get a slice of their own.
MOST_VALUES = 12

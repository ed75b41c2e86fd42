"""How much held-out rows can tell: rows with equal texts, or of one account, are one observation."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]

# The fewest distinct observations of each kind that figures are given for. docs/training.md has the reasons.
MIN_DISTINCT = 10


class Evidence(msgspec.Struct, frozen=True):
    """Rows, and how many observations they are.

    Args:
        rows, positives: rows, and how many of them violate.
        distinct: observations: rows that differ in their text (accounts: in their subject).
        distinct_positives, distinct_negatives: observations with at least one violating row, and with at least one
            other row. Equal texts with both labels count in both.
    """

    rows: int
    positives: int
    distinct: int
    distinct_positives: int
    distinct_negatives: int

    @property
    def missing(self) -> str:
        """What is missing for figures on these rows; empty if there is enough.

        >>> Evidence(32, 12, 16, 6, 10).missing
        '32 held-out rows, 16 of them distinct: 6 violating and 10 others. Missing: 4 violating.'
        """
        lacking = [
            f"{MIN_DISTINCT - found} {name}"
            for name, found in (("violating", self.distinct_positives), ("others", self.distinct_negatives))
            if found < MIN_DISTINCT
        ]
        return f"{self.text()}. Missing: {' and '.join(lacking)}." if lacking else ""

    def text(self) -> str:
        """
        >>> Evidence(32, 12, 16, 6, 10).text()
        '32 held-out rows, 16 of them distinct: 6 violating and 10 others'
        """
        kinds = f"{self.distinct_positives:,} violating and {self.distinct_negatives:,} others"
        return f"{self.rows:,} held-out rows, {self.distinct:,} of them distinct: {kinds}"


def evidence(labels: Bools, groups: Groups) -> Evidence:
    """Count (n,) labels and the (n,) groups of rows that are one observation."""
    return Evidence(
        rows=len(labels),
        positives=int(labels.sum()),
        distinct=len(np.unique(groups)),
        distinct_positives=len(np.unique(groups[labels])),
        distinct_negatives=len(np.unique(groups[~labels])),
    )

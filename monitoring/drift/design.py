"""How many independent rows a window is worth.

The rows of a window aren't independent: accounts are scored in many hours, and platforms vary from day to day. So the
frequencies of comparable windows differ by more than chance, and the number of rows is divided by how much more: by
Pearson's χ² of their counts over its degrees of freedom (Rao and Scott, Annals of Statistics 12, 1984). Few windows
give a rough figure, so each column's is drawn towards that of the middle column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

# Values are put into about this many groups of equal size.
_GROUPS = 8
# The middle column's figure counts as much as this many degrees of freedom of a column's own.
_DRAWN = 8.0
_SMALLEST = 5.0


def grouped(counts: Doubles) -> Doubles:
    """(windows, b) counts of values in ascending buckets, joined to groups of about the same size."""
    total = counts.sum(axis=0)
    middle = np.cumsum(total) - total / 2
    group = np.minimum((middle / max(total.sum(), 1e-300) * _GROUPS).astype(np.int64), _GROUPS - 1)
    found = np.zeros((len(counts), _GROUPS))
    for one in np.unique(group):
        found[:, one] = counts[:, group == one].sum(axis=1)
    return found


def dispersion(counts: Doubles) -> tuple[float, float]:
    """Pearson's χ² of (windows, groups) counts, and its degrees of freedom; both 0 if there is nothing to compare."""
    kept = counts[:, counts.sum(axis=0) > 0]
    kept = kept[kept.sum(axis=1) > 0]
    if kept.shape[0] < 2 or kept.shape[1] < 2:
        return 0.0, 0.0
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / kept.sum()
    # Cells in which hardly anything is expected would count for more than they say.
    enough = expected >= 1.0
    chi = float((((kept - expected) ** 2 / np.maximum(expected, 1e-300)) * enough).sum())
    free = (kept.shape[0] - 1) * (kept.shape[1] - 1) * float(enough.mean())
    return (chi, free) if free > 0 else (0.0, 0.0)


def effects(found: list[tuple[float, float]]) -> Doubles:
    """(k,) by how much each column's number of rows is divided: at least 1.

    Args:
        found: the dispersion of each of k columns.
    """
    if not found:
        return np.empty(0)
    chi, free = np.array(found, np.float64).T
    own = np.divide(chi, free, out=np.ones_like(chi), where=free > 0)
    middle = max(1.0, float(np.median(own[free > 0]))) if (free > 0).any() else 1.0
    drawn: Doubles = np.maximum(1.0, (chi + _DRAWN * middle) / (free + _DRAWN))
    return drawn


def effective(rows: Doubles, effect: Doubles) -> Doubles:
    """Effective numbers of rows."""
    return np.maximum(rows / effect, np.minimum(rows, _SMALLEST))

"""How much comparable windows differ by more than chance.

Accounts are scored in many hours, and platforms have busy and quiet days. So windows in which nothing has changed
differ by more than independent rows would. How much more is seen from windows before: from the mean square of their
distances, each from all others. What exceeds chance is the variance between windows, as in an analysis of variance with
random effects. With few windows the figure is rough, so each column's is drawn towards that of the middle column, and
the normal distribution gives way to Student's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

# The middle column's figure counts as much as this many windows of a column's own.
_DRAWN = 8.0
_SMALLEST_P = 1e-18
_STEPS = 40


@dataclass(frozen=True)
class Dispersion:
    """How far k comparable windows are from each other.

    Args:
        square: mean square of their distances, each from all others.
        by_chance: what independent rows would give.
        free: k - 1.
        precise: the distance is the sum of so many parts that even few windows show how it varies.
    """

    square: float = 0.0
    by_chance: float = 0.0
    free: int = 0
    precise: bool = False


NONE = Dispersion()


class Chance(Protocol):
    """k distances, and what chance does to them if rows are independent."""

    @property
    def value(self) -> Doubles: ...
    @property
    def reach(self) -> Doubles: ...
    def threshold(self, p: Doubles) -> Doubles: ...
    def beyond(self, distance: Doubles) -> Doubles: ...


@dataclass(frozen=True, eq=False)
class Varied:
    """k distances, and what chance and the variation of windows do to them together.

    Args:
        between: (k,) standard deviation of distances between windows, beyond chance.
        free: (k,) degrees of freedom of its estimate.
    """

    chance: Chance
    between: Doubles
    free: Doubles

    @property
    def value(self) -> Doubles:
        """(k,) the distances."""
        return self.chance.value

    def threshold(self, p: Doubles | float) -> Doubles:
        """(k,) the distance that is exceeded with probability `p`, one or k numbers; at most the largest one."""
        from scipy.special import stdtrit

        at = np.broadcast_to(np.asarray(p, np.float64), self.value.shape)
        student = stdtrit(self.free, 1 - at / 2)
        # Beyond what a double can tell from 1, the tail is followed on the other side.
        student = np.where(at < 1e-9, -stdtrit(self.free, at / 2), student)
        found = np.sqrt(self.chance.threshold(at) ** 2 + (student * self.between) ** 2)
        capped: Doubles = np.minimum(found, self.chance.reach)
        return capped

    def p(self) -> Doubles:
        """(k,) how likely at least this distance is without a change: the p for which `threshold` is the distance.

        Of that distance, chance explains a part and the variation of windows the rest, at equal p. The part is found by
        halving: the larger it is, the less likely chance is to cause it, and the more likely windows are to vary by
        what is left.
        """
        from scipy.special import stdtr

        low, high = np.zeros(self.value.shape), self.value
        varies = self.between > 0
        for _ in range(_STEPS):
            part = (low + high) / 2
            rest = np.sqrt(np.maximum(self.value**2 - part**2, 0.0))
            deviations = np.divide(rest, self.between, out=np.full_like(rest, np.inf), where=varies)
            too_small = self.chance.beyond(part) > 2 * stdtr(self.free, -deviations)
            low, high = np.where(too_small, part, low), np.where(too_small, high, part)
        return np.clip(self.chance.beyond(high), _SMALLEST_P, 1.0)


def dispersion(distances: Doubles, rows: Doubles, unit: float, *, precise: bool = False) -> Dispersion:
    """The dispersion of windows.

    Args:
        distances: (k,) of each window from all of them together, itself included.
        rows: (k,) their numbers of rows.
        unit: mean square of the distance by chance, at a size for which 1/rows + 1/baseline rows is 1.
    """
    kept = rows > 0
    k, total = int(kept.sum()), float(rows[kept].sum())
    if k < 2:
        return NONE
    share = rows[kept] / total
    # Without itself, a window is farther from the others.
    square = float(np.mean((distances[kept] / (1 - share)) ** 2))
    by_chance = unit * float(np.mean(1 / rows[kept] + 1 / (total - rows[kept])))
    return Dispersion(square, by_chance, k - 1, precise)


def between(found: list[Dispersion]) -> tuple[Doubles, Doubles]:
    """(k,) standard deviations of the distances between windows beyond chance, and their degrees of freedom."""
    if not found:
        return np.empty(0), np.empty(0)
    square = np.array([one.square for one in found])
    chance = np.array([one.by_chance for one in found])
    free = np.array([float(one.free) for one in found])
    own = np.divide(square, chance, out=np.ones_like(square), where=chance > 0)
    known = (free > 0) & (chance > 0)
    middle = max(1.0, float(np.median(own[known]))) if known.any() else 1.0
    ratio = (free * own + _DRAWN * middle) / (free + _DRAWN)
    # A column that is known to vary more than others keeps its own figure.
    ratio = np.where(free >= _DRAWN, np.maximum(ratio, own), ratio)
    ratio = np.where(np.array([one.precise for one in found]), own, ratio)
    return np.sqrt(np.maximum(ratio - 1, 0.0) * chance), free + _DRAWN

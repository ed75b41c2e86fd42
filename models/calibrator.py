"""From a booster's margin to a probability: log-odds as a rising, piecewise-linear function of the margin.

With two knots this is Platt scaling (Platt 1999), with a knee beta calibration (Kull, Silva Filho, Flach 2017), with a
knot per block of equal rates centred isotonic regression (Oron, Flournoy 2017). In between, a few knots bend it where
held-out rows show that a straight line is wrong, as it is for linear text models on rare harms.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused

Doubles = npt.NDArray[np.float64]


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line through (`margins`, `log_odds`), both rising, that goes on beyond its ends as it arrives there.

    Args:
        knee: times ln(1 + e^−margin), added to the line: it is flatter by this much far below 0, and bends smoothly.
        method: how it was fitted: `platt`, `beta`, `bent` or `isotonic`.

    >>> platt = Calibrator(margins=(0.0, 1.0), log_odds=(0.0, 1.0))
    >>> platt.score(np.array([0.0])).item()
    0.5
    """

    margins: tuple[float, ...]
    log_odds: tuple[float, ...]
    knee: float = 0.0
    method: str = "platt"

    def __post_init__(self) -> None:
        rising = all(np.isfinite(k).all() and (np.diff(k) > 0).all() for k in (self.margins, self.log_odds))
        if len(self.margins) != len(self.log_odds) or len(self.margins) < 2 or not rising:
            raise ValueError("margins and log_odds must be equally many, two or more, and rise")
        slopes = np.diff(self.log_odds) / np.diff(self.margins)
        if not self.knee < slopes.min():
            raise ValueError("the knee must leave the line rising")

    def score(self, margin: Doubles) -> Doubles:
        """(n,) margins to (n,) probabilities; a higher margin never gives a lower one."""
        z = self._line(margin)
        # Without overflow on either side.
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1.0, e) / (1.0 + e)

    def _line(self, margin: Doubles) -> Doubles:
        x, y, slopes = _knots(self.margins, self.log_odds)
        segment = np.minimum(np.maximum(np.searchsorted(x, margin) - 1, 0), len(x) - 2)
        line: Doubles = y[segment] + (margin - x[segment]) * slopes[segment]
        if self.knee:
            line += self.knee * np.logaddexp(0, -margin)
        return line

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> Calibrator:
        """Raises ModelRefused when the bytes hold no calibrator."""
        try:
            return msgspec.json.decode(raw, type=Calibrator)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"calibrator.json is not a calibrator: {error}.") from error


@lru_cache(maxsize=256)
def _knots(margins: tuple[float, ...], log_odds: tuple[float, ...]) -> tuple[Doubles, Doubles, Doubles]:
    """Knots and the slopes between them, worked out once."""
    x, y = np.array(margins), np.array(log_odds)
    return x, y, np.diff(y) / np.diff(x)

"""Maps a booster's margin to a probability: log-odds as an increasing, piecewise-linear function of the margin.

With two knots this is Platt scaling (Platt 1999), with a knee it is beta calibration (Kull, Silva Filho, Flach 2017),
and with a knot per block of equal rates it is centred isotonic regression (Oron, Flournoy 2017). A few knots in between
bend the line where held-out rows show that it isn't straight, as for linear text models on rare harms.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused

Doubles = npt.NDArray[np.float64]


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line through the knots (`margins`, `log_odds`), both increasing. The end segments extend to infinity.

    Args:
        knee: coefficient of ln(1 + e^−margin), which is added to the line. It lowers the slope far below 0 by this
            much, with a smooth bend.
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
            raise ValueError("margins and log_odds must have the same length, at least two, and increase")
        slopes = np.diff(self.log_odds) / np.diff(self.margins)
        if not self.knee < slopes.min():
            raise ValueError("the knee must be less than every slope of the line")

    def score(self, margin: Doubles) -> Doubles:
        """(n,) margins to (n,) probabilities. A higher margin never gives a lower probability."""
        z = self._line(margin)
        # This form overflows for neither sign.
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1.0, e) / (1.0 + e)

    def _line(self, margin: Doubles) -> Doubles:
        x, y, slopes = _knots(self.margins, self.log_odds)
        # The segments at the ends reach to infinity.
        segment = x[1:-1].searchsorted(margin)
        line: Doubles = y.take(segment) + (margin - x.take(segment)) * slopes.take(segment)
        if self.knee:
            line += self.knee * np.logaddexp(0, -margin)
        return line

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> Calibrator:
        """Parse a calibrator. Raises ModelRefused if the bytes hold none."""
        try:
            return msgspec.json.decode(raw, type=Calibrator)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"calibrator.json is invalid: {error}.") from error


@lru_cache(maxsize=256)
def _knots(margins: tuple[float, ...], log_odds: tuple[float, ...]) -> tuple[Doubles, Doubles, Doubles]:
    """Knots and the slopes between them, computed once."""
    x, y = np.array(margins), np.array(log_odds)
    return x, y, np.diff(y) / np.diff(x)

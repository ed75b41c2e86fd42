"""From a booster's margin to a probability: Platt scaling (Platt 1999), two numbers fitted on rows held out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from leads.errors import ModelRefused

Doubles = npt.NDArray[np.float64]


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """score = 1 / (1 + exp(-(slope · margin + intercept))). The slope is positive, so the order stays.

    >>> Calibrator(slope=1.0, intercept=0.0).score(np.array([0.0])).item()
    0.5
    """

    slope: Annotated[float, Meta(gt=0)]
    intercept: float
    method: Literal["platt"] = "platt"

    def score(self, margin: Doubles) -> Doubles:
        """(n,) margins to (n,) probabilities."""
        z = self.slope * margin + self.intercept
        # Without overflow on either side.
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1.0, e) / (1.0 + e)

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> Calibrator:
        """Raises ModelRefused when the bytes hold no calibrator."""
        try:
            return msgspec.json.decode(raw, type=Calibrator)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"calibrator.json is not a calibrator: {error}.") from error

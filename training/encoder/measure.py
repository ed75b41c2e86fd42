"""How well an encoder's outputs rank the texts of each harm."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from models.text.tuned import TunedEncoder
from training.encoder.examples import Examples

Floats = npt.NDArray[np.float32]


class HarmMetrics(msgspec.Struct, frozen=True):
    """Average precision of one harm's output; None where there are no texts of either kind.

    Args:
        texts, violating: numbers of texts that it was fine-tuned on.
        ap_unseen: on these texts, by networks that hadn't seen them.
        held_out: the number of held-out texts.
        ap_held_out: on held-out texts, by the encoder as it serves.
        ap_full: the same, with weights of 32 bits.
    """

    texts: int
    violating: int
    ap_unseen: float | None
    held_out: int
    ap_held_out: float | None
    ap_full: float | None


class EncoderMetrics(msgspec.Struct, frozen=True):
    """Of all harms, by name; and how far the outputs as served are from those with weights of 32 bits, at most."""

    harms: dict[str, HarmMetrics]
    largest_error: float

    def numbers(self) -> dict[str, float]:
        """As metrics of a run."""
        found: dict[str, float] = {"largest_error_of_precision": self.largest_error}
        for harm, one in self.harms.items():
            for name in ("ap_unseen", "ap_held_out", "ap_full"):
                value = getattr(one, name)
                if value is not None:
                    found[f"{harm}.{name}"] = value
        return found


def measure(
    encoder: TunedEncoder, held_out: Examples, learned: Examples, unseen: Floats, full: Floats
) -> EncoderMetrics:
    """Measure an encoder.

    Args:
        held_out: texts that no network has seen; harms may be others than the encoder's.
        learned: n texts that it was fine-tuned on.
        unseen: (n, k) their outputs by networks that hadn't seen them.
        full: (m, k) outputs of the held-out texts with weights of 32 bits.
    """
    served = encoder.encode(held_out.texts)
    harms = {}
    for j, harm in enumerate(encoder.about.harms):
        own = learned.labels[:, j]
        known = harm in held_out.harms
        of = held_out.labels[:, held_out.harms.index(harm)] if known else np.full(len(served), np.nan, np.float32)
        harms[harm] = HarmMetrics(
            int(np.isfinite(own).sum()),
            int((own > 0.5).sum()),
            _ap(own, unseen[:, j]),
            int(np.isfinite(of).sum()),
            _ap(of, served[:, j]),
            _ap(of, full[:, j]),
        )
    return EncoderMetrics(harms, float(np.abs(served - full).max(initial=0.0)))


def _ap(labels: Floats, scores: Floats) -> float | None:
    from sklearn.metrics import average_precision_score

    known = np.isfinite(labels)
    violating = labels[known] > 0.5
    if not violating.any() or violating.all():
        return None
    return float(average_precision_score(violating, scores[known]))

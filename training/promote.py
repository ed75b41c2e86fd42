"""Whether a new version takes over: the champion and it judge the same rows, which neither learned from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.version import ModelVersion
from training.dataset import Dataset
from training.evaluate import ece, ece_p_value

CHAMPION, CHALLENGER = "champion", "challenger"
AP_TOLERANCE = 0.01
CALIBRATED_P = 0.05


class Settled(NamedTuple):
    """The alias that a version gets, None when it gets none, and why."""

    alias: str | None
    why: str


def compare(champion: ModelVersion, candidate: ModelVersion, data: Dataset, *, seed: int) -> Settled:
    """`champion` when the candidate's average precision is at most 0.01 below the champion's on the held-out rows, and
    its calibration is not rejected at 5% or at least no worse than the champion's."""
    from sklearn.metrics import average_precision_score

    if champion.contract != candidate.contract:
        return Settled(CHAMPION, f"Version {champion.version} takes other features than this code gives.")
    test = np.flatnonzero(data.held_out)
    texts = data.texts
    labels = data.labels[test]
    old, new = (
        version.score(data.features[test], [texts[i] for i in test.tolist()]).score for version in (champion, candidate)
    )
    old_ap, new_ap = (float(average_precision_score(labels, scores)) for scores in (old, new))
    said = (
        f"average precision {new_ap:.3f} against {old_ap:.3f} of version {champion.version}, {len(test)} held-out rows"
    )
    if new_ap < old_ap - AP_TOLERANCE:
        return Settled(CHALLENGER, f"It ranks worse: {said}.")
    p, old_ece, new_ece = ece_p_value(new, labels, seed=seed), ece(old, labels), ece(new, labels)
    if p < CALIBRATED_P and new_ece > old_ece:
        return Settled(
            CHALLENGER,
            f"Its scores keep their word less: ECE {new_ece:.3f} (p = {p:.3f}) against {old_ece:.3f}; {said}.",
        )
    return Settled(CHAMPION, f"It is not worse: {said}.")

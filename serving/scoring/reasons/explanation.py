"""Reasons for a high score: stable codes, and texts for reviewers that contain the numbers.

The booster's contributions show which inputs raised a score. Related inputs share a code, and the text comes from the
code's strongest input. Texts never contain feature names. Subjects can be items or accounts, so a text about the
subject itself must fit both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from serving.scoring.reasons.phrases import PHRASES, phrase_of

MAX_REASONS = 4
# In log-odds. Weaker reasons barely changed the score and are left out.
MIN_WEIGHT = 0.15
# Never reasons for a violation, whatever their contribution.
_REASSURING = frozenset((
    "ACCOUNT_CLEARED", "ACCOUNT_OLD", "ACCOUNT_QUIET", "ACCOUNT_REPORTS_RIGHTLY", "ACCOUNT_VARIES_TEXTS", "DEVICES_FEW",
    "DEVICE_OF_ONE", "ITEM_OLD", "ITEM_UNEDITED", "ITEM_UNPLAYED", "LISTENED_ONCE", "PLAYS_STEADY", "TEXT_COPIES_FEW",
    "TRACKS_VARIED",
))  # fmt: skip
# Of these, 0 says something. Of the others it says that something isn't there: no reports, no links.
_ZERO_TELLS = frozenset((
    "item.age_h", "account.age_h", "account.plays_1h", "account.plays_24h", "account.plays_7d", "account.plays_90d",
    "account.track_entropy_7d", "account.report_reliability", "text.score",
))  # fmt: skip


class Reason(msgspec.Struct, frozen=True):
    """One reason. `weight` is its contribution to the margin, in log-odds."""

    code: str
    text: str
    weight: float


class Explained(NamedTuple):
    """The parts of a margin, in log-odds: `base` + the reasons' weights + `rest` = `margin`, up to rounding."""

    margin: float
    base: float
    reasons: tuple[Reason, ...]
    rest: float


def explain(
    names: Sequence[str],
    vector: npt.NDArray[np.float32],
    contributions: npt.NDArray[np.float32],
    margin: float | None = None,
    features: FeatureSet = BUILTIN,
) -> Explained:
    """Explain one score by its strongest reasons, strongest first. What speaks against a violation is in the rest.

    Args:
        names: (m,) names of the model's inputs.
        vector: (m,) values of the inputs; NaN where missing.
        contributions: (m + 1,) contribution of each input in log-odds (TreeSHAP, Lundberg et al. 2020), then the bias.
        margin: the model's output in log-odds; by default the sum of the contributions.
        features: say what the inputs mean that have no phrase of their own.
    """
    strongest: dict[str, tuple[float, str]] = {}
    weights: dict[str, float] = {}
    parts = contributions.tolist()
    for name, value, weight in zip(names, vector.tolist(), parts, strict=False):
        if weight <= 0 or not math.isfinite(value):
            continue
        phrasing = PHRASES.get(name) or phrase_of(features.by_name.get(name))
        if phrasing is None:
            continue
        phrase = phrasing(value)
        if not _speaks_for(phrase.code, name, value):
            continue
        weights[phrase.code] = weights.get(phrase.code, 0.0) + weight
        if weight > strongest.get(phrase.code, (0.0, ""))[0]:
            strongest[phrase.code] = (weight, phrase.text(value))
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    reasons = tuple(
        Reason(code, strongest[code][1], round(weight, 4))
        for code, weight in ranked[:MAX_REASONS]
        if weight >= MIN_WEIGHT
    )
    total, base = (sum(parts) if margin is None else margin), parts[-1]
    return Explained(total, base, reasons, total - base - sum(reason.weight for reason in reasons))


def _speaks_for(code: str, name: str, value: float) -> bool:
    """Whether a person would see this as a reason for a violation. A model may find that an old account raises a score
    a little, compared with its average subject; reviewers should not read that as a reason.
    """
    if name == "item.classifier_score":
        return value >= 0.5
    return code not in _REASSURING and (value != 0 or name in _ZERO_TELLS)

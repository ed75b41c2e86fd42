"""The checks of a behaviour suite that a version fails, with texts and scores, to see what to label or to add."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.declared.feature_set import FeatureSet
from models.version import ModelVersion
from training.behaviour.run import BehaviourReport, report_on, scored
from training.behaviour.suite import Suite


class Failure(NamedTuple):
    """A check that a version fails.

    Args:
        text, score: what is checked, and its score.
        expected: how the score should be, compared with `other`.
        other, other_score: the other text; of several, how many they are, and the median of their scores.
    """

    case: str
    text: str
    score: float
    expected: str
    other: str
    other_score: float


def failures(version: ModelVersion, suite: Suite, features: FeatureSet) -> tuple[BehaviourReport, list[Failure]]:
    """Run the suite, and list the checks that fail, in the suite's order.

    Raises:
        InvalidInput, ModelRefused: as `training.behaviour.run.scored`.
    """
    texts = scored(version, suite, features)
    report, scores = report_on(suite, texts.margin), texts.score
    found = []
    for case, result in zip(suite.cases, report.cases, strict=True):
        expected = "about as" if case.kind == "invariance" else "above"
        for check, bit in zip(case.checks, result.bits, strict=True):
            if bit == "1":
                continue
            others = [suite.texts[i] for i in check.against]
            other = others[0] if len(others) == 1 else f"the median of {len(others)} others"
            score, other_score = float(scores[check.of]), float(np.median(scores[list(check.against)]))
            found.append(Failure(case.name, suite.texts[check.of], score, expected, other, other_score))
    return report, found

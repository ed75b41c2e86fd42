"""Evidence against calibrated scores that stays valid however often it is looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Sizes of the bets, as shares of what is at stake.
_STAKES = np.array([0.1, 0.25, 0.5, 0.9])


def calibration_evidence(scores: Doubles, labels: Bools, *, tolerance: float, starts: npt.NDArray[np.int64]) -> float:
    """The logarithm of an e-value against scores that are calibrated within a tolerance.

    Two bettors start with 1. One bets on labels being more or less often positive than the scores say, the other on
    high scores being too high and low ones too low, or the opposite. Each bets in both directions, with several stakes,
    from several starts; the e-value is the mean of all their wealths. While the mean of label − score, given the past
    and the score, is within ± `tolerance`, no bet gains on average: the wealth is a supermartingale, so the chance that
    the e-value ever reaches 1/α is at most α (Ville 1939). A value of ln(100) = 4.6 is thus reached by calibrated
    scores in at most 1% of all sequences, with any number of looks. Shafer, Testing by betting, JRSS A 184, 2021;
    Ramdas, Grünwald, Vovk, Shafer, Game-theoretic statistics and safe anytime-valid inference, Statistical Science 38,
    2023; Arnold, Henzi and Ziegel, Sequentially valid tests for forecast calibration, Annals of Applied Statistics 17,
    2023.

    Args:
        scores, labels: (n,) in the order in which the labels became known.
        starts: positions at which bettors start; those that start late find late changes faster.

    Returns:
        0 without rows.

    >>> scores, labels = np.full(200, 0.8), np.arange(200) % 2 == 0
    >>> calibration_evidence(scores, labels, tolerance=0.05, starts=np.array([0])) > 4.6
    True
    """
    if not len(scores):
        return 0.0
    off = labels - scores
    shapes = np.stack((np.ones(len(scores)), 2 * scores - 1))
    # (directions × stakes × shapes, n)
    stakes = np.concatenate((_STAKES, -_STAKES)) / (1 + tolerance)
    bets = (stakes[:, None, None] * shapes).reshape(-1, len(scores))
    wealth = np.cumsum(np.log1p(bets * off - np.abs(bets) * tolerance), axis=1)
    before = np.concatenate((np.zeros((len(bets), 1)), wealth), axis=1)
    gained = wealth[:, -1:] - before[:, starts]
    return float(np.logaddexp.reduce(gained, axis=None) - np.log(gained.size))

"""Fits the text stage: several heads, stacked by their out-of-fold predictions.

Two heads are linear in the same TF-IDF vector: one takes n-grams as they are, the other scales them by their log-count
ratio first (NB weighting, Wang and Manning 2012). Which one is better differs between harms. Their stack is a single
weight per n-gram, so it costs serving nothing. The third head, if an encoder is used, is a model on its vectors:
n-grams fit a domain, while the meaning of a sentence transfers to others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.text.head import EncoderHead
from models.text.stage import Block, TextStage
from training.config import DEFAULTS, TextConfig
from training.fit.counts import TextCounts, Vectors, added_rows, vectors_of
from training.fit.encoded import encoded, fit_head

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class TextFit(NamedTuple):
    """The stage fitted on all rows, and (n,) out-of-fold log-odds."""

    stage: TextStage
    out_of_fold: Doubles


class _Head(NamedTuple):
    weights: Doubles
    intercept: float


def fit_text(
    counts: TextCounts,
    rows: Ints,
    labels: Bools,
    folds: Ints,
    *,
    config: TextConfig = DEFAULTS.text,
    seed: int,
    weights: Doubles | None = None,
) -> TextFit:
    """Fit on some rows of the counts.

    Args:
        rows: (n,) positions in `counts` of the rows to fit on.
        labels: (n,) True for violating rows; both kinds in every fold's complement.
        folds: (n,) the fold of each row; equal texts in the same fold.
        weights: (n,) weight of each label; None: all equal.
    """
    weights = np.ones(len(rows)) if weights is None else weights
    fitter = TextFitter(counts, rows, labels, weights, seed)
    held_out = fitter.out_of_fold(folds, config)
    shares, offset = stack(held_out, labels, weights)
    final = fitter.heads(np.ones(len(rows), dtype=np.bool_), config, strength=_share_outside(folds))
    intercept = float(shares @ [head.intercept for head in final] + offset)
    linear = shares[0] * final[0].weights + shares[1] * final[1].weights
    head = fitter.encoded.head(shares[2] * final[2].weights) if fitter.encoded else None
    return TextFit(_stage(counts, fitter.vectors, linear, intercept, head), held_out @ shares + offset)


class TextFitter:
    """Fits the heads on subsets of fixed rows, with any configuration. The rows' vectors are computed once."""

    def __init__(self, counts: TextCounts, rows: Ints, labels: Bools, weights: Doubles, seed: int) -> None:
        self.vectors = vectors_of(counts, rows)
        self.encoded = None
        if counts.vectors is not None and counts.encoder is not None:
            self.encoded = encoded(counts.vectors[rows], counts.encoder)
        self._labels, self._weights, self._seed = labels, weights, seed
        self._tuned = counts.encoder is not None and counts.encoder.learns
        self._added = added_rows(counts.added, rows, self.vectors) if counts.added else None

    def heads(self, chosen: Bools, config: TextConfig, *, strength: float = 1.0) -> list[_Head]:
        """Fit the heads on the rows where `chosen` (n,) is True, with the configured strengths times `strength`."""
        labels, weights = self._labels[chosen], self._weights[chosen]
        config = _scaled(config, strength)
        found = self._on_grams(chosen, config)
        if self.encoded:
            features = self.encoded.features[chosen]
            found.append(_Head(*fit_head(features, labels, weights, config.sentence_c, self._seed)))
        return found

    def _on_grams(self, chosen: Bools, config: TextConfig) -> list[_Head]:
        matrix, labels, weights = self.vectors.matrix[chosen], self._labels[chosen], self._weights[chosen]
        if self._added is None:
            return _heads(matrix, labels, weights, np.ones(len(labels)), config, self._seed)
        import scipy.sparse as sp

        more = self._added.beside(chosen, self._labels, self._weights, tuned=self._tuned)
        return _heads(
            sp.vstack((matrix, more.matrix), format="csr"),
            np.concatenate((labels, more.labels)),
            np.concatenate((weights, more.weights)),
            np.concatenate((np.ones(len(labels)), more.counted)),
            config,
            self._seed,
        )

    def out_of_fold(
        self, folds: Ints, config: TextConfig, on_fold: Callable[[Bools, Doubles], None] | None = None
    ) -> Doubles:
        """(n, heads) out-of-fold margins.

        Args:
            on_fold: called after each fold with (n,) which rows are done and (n, heads) the margins so far.
        """
        margins = np.zeros((len(self._labels), 3 if self.encoded else 2))
        done = np.zeros(len(self._labels), dtype=np.bool_)
        # Sequential: liblinear has one random generator per process, so parallel fits wouldn't be repeatable.
        for fold in np.unique(folds):
            inside = folds == fold
            inputs = [self.vectors.matrix[inside]] * 2 + ([self.encoded.features[inside]] if self.encoded else [])
            for j, (x, head) in enumerate(zip(inputs, self.heads(~inside, config), strict=True)):
                margins[inside, j] = x @ head.weights + head.intercept
            done |= inside
            if on_fold:
                on_fold(done, margins)
        return margins


def _scaled(config: TextConfig, strength: float) -> TextConfig:
    strengths = {name: strength * getattr(config, name) for name in ("plain_c", "nb_c", "sentence_c")}
    return config.model_copy(update=strengths)


def _share_outside(folds: Ints) -> float:
    """The mean share of rows outside of a fold: what the stage on all rows multiplies its strengths by.

    A strength weighs the sum of the rows' losses, so with equal strengths the stage on all rows would be regularised
    less than those on four fifths of them. Its margins would be wider than the out-of-fold margins that the stack and
    the calibrator are fitted on, and its scores too bold.
    """
    return 1 - 1 / len(np.unique(folds))


def _heads(
    matrix: Any, labels: Bools, weights: Doubles, counted: Doubles, config: TextConfig, seed: int
) -> list[_Head]:
    """Args: counted: (n,) how much each row counts in the log-count ratios."""
    ratio = _log_count_ratio(matrix, labels, counted, config)
    scaled = matrix.copy()
    scaled.data *= ratio[scaled.indices]
    nb = _logistic(scaled, labels, weights, config.nb_c, seed)
    return [_logistic(matrix, labels, weights, config.plain_c, seed), _Head(nb.weights * ratio, nb.intercept)]


def _log_count_ratio(matrix: Any, labels: Bools, counted: Doubles, config: TextConfig) -> Doubles:
    positive = config.nb_smoothing + matrix.T @ (counted * labels)
    negative = config.nb_smoothing + matrix.T @ (counted * ~labels)
    ratio = np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))
    return np.asarray(np.sign(ratio) * np.abs(ratio) ** config.nb_damping)


def _logistic(matrix: Any, labels: Bools, weights: Doubles, strength: float, seed: int) -> _Head:
    from sklearn.linear_model import LogisticRegression

    # The dual solver is three times as fast as the primal one here and gives the same ranking.
    fitted = LogisticRegression(
        C=strength, solver="liblinear", dual=True, tol=1e-2, max_iter=2_000, random_state=seed
    ).fit(matrix, labels, sample_weight=weights)
    return _Head(fitted.coef_[0], float(fitted.intercept_[0]))


def stack(margins: Doubles, labels: Bools, weights: Doubles) -> tuple[Doubles, float]:
    """Non-negative weights of the heads and an offset that turn (n, heads) held-out margins into log-odds."""
    from scipy.optimize import minimize

    n = margins.shape[1]
    labelled = weights * labels

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        z = margins @ parameters[:n] + parameters[n]
        off = weights / (1 + np.exp(-z)) - labelled
        # A weak pull towards equal weights settles what the rows leave open.
        pull = parameters[:n] - 1 / n
        value = weights @ np.logaddexp(0, z) - labelled @ z + 0.5 * pull @ pull
        return value, np.append(margins.T @ off + pull, off.sum())

    start = np.append(np.full(n, 1 / n), 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * n + [(None, None)])
    return found.x[:n], float(found.x[n])


def _stage(
    counts: TextCounts, vectors: Vectors, weights: Doubles, intercept: float, head: EncoderHead | None
) -> TextStage:
    split = len(vectors.idf[0])
    blocks = [
        Block(family.hashes[kept], idf.astype(np.float32), part.astype(np.float32))
        for family, kept, idf, part in zip(
            (counts.words, counts.chars), vectors.kept, vectors.idf, (weights[:split], weights[split:]), strict=True
        )
    ]
    return TextStage(blocks[0], blocks[1], intercept, head, counts.encoder)

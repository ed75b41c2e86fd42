"""Fits the text stage: two linear heads over one TF-IDF, stacked into a single weight per gram.

One head weighs grams as they are, the other scales them by their log-count ratio first (NB-weighting: Wang and Manning
2012). Which is better differs from harm to harm; both are linear in the same vector, so their stack is too and costs
serving nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.ngrams import Grams, Hashes, grams
from models.text_stage import Block, TextStage, count

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MIN_TEXTS = 2
PLAIN_C, NB_C, NB_SMOOTHING = 3.0, 1.0, 0.1
# Ratios to this power: in full they fit the noise of harms with few labels.
NB_DAMPING = 0.7


class GramCounts(NamedTuple):
    """One family's 1 + ln tf as a sparse (texts, grams) matrix, and the grams that its columns stand for."""

    matrix: Any
    hashes: Hashes


class TextCounts(NamedTuple):
    """The counts of all of a data set's texts, made once and shared by every fit on some of its rows.

    `present` (n,) is False where there is no text.
    """

    words: GramCounts
    chars: GramCounts
    present: Bools


class TextFit(NamedTuple):
    """The stage fitted on all rows, and (n,) the log-odds of each by a fit that didn't see its fold."""

    stage: TextStage
    out_of_fold: Doubles


class _Vectors(NamedTuple):
    """Rows of length one per family, side by side, with what is needed to write the weights back per family."""

    matrix: Any
    idf: tuple[Doubles, Doubles]
    kept: tuple[Bools, Bools]


class _Head(NamedTuple):
    weights: Doubles
    intercept: float


def count_texts(texts: Sequence[str | None]) -> TextCounts:
    """Grams that occur only once are left out: nothing can be learned from them."""
    found = grams([text or "" for text in texts])
    present = np.array([bool(text) for text in texts], dtype=np.bool_)
    return TextCounts(_counts(found.words, len(texts)), _counts(found.chars, len(texts)), present)


def fit_text(counts: TextCounts, rows: Ints, labels: Bools, folds: Ints, *, seed: int) -> TextFit:
    """Fit on some rows of the counts.

    Args:
        rows: (n,) the rows of `counts` to learn from.
        labels: (n,) their labels, both kinds in every fold's complement.
        folds: (n,) which fold each row is in, equal texts in the same.
    """
    vectors = _vectors(counts, rows)
    held_out = np.zeros((len(rows), 2))

    # One after the other: liblinear draws from one generator per process, so fits side by side wouldn't repeat.
    for fold in np.unique(folds):
        inside = folds == fold
        for j, head in enumerate(_heads(vectors.matrix[~inside], labels[~inside], seed)):
            held_out[inside, j] = vectors.matrix[inside] @ head.weights + head.intercept
    shares, offset = _stack(held_out, labels)
    plain, nb = _heads(vectors.matrix, labels, seed)
    weights = shares[0] * plain.weights + shares[1] * nb.weights
    intercept = float(shares @ (plain.intercept, nb.intercept) + offset)
    return TextFit(_stage(counts, vectors, weights, intercept), held_out @ shares + offset)


def _counts(found: Grams, n: int) -> GramCounts:
    import scipy.sparse as sp

    hashes = _recurring(found)
    counted = count(found, hashes)
    matrix = sp.csr_array(
        (counted.frequencies, (counted.rows.astype(np.int32), counted.columns.astype(np.int32))), shape=(n, len(hashes))
    )
    return GramCounts(matrix, hashes)


def _recurring(found: Grams) -> Hashes:
    """Ascending hashes of the grams that occur more than once; in how many texts is counted later."""
    hashes, times = np.unique(found.hashes, return_counts=True)
    return hashes[times >= MIN_TEXTS]


def _vectors(counts: TextCounts, rows: Ints) -> _Vectors:
    import scipy.sparse as sp

    parts, idfs, keeps = [], [], []
    for family in (counts.words, counts.chars):
        part = family.matrix[rows]
        texts = np.bincount(part.indices, minlength=part.shape[1])
        kept = texts >= MIN_TEXTS
        idf = np.log((1 + len(rows)) / (1 + texts[kept])) + 1
        part = part[:, np.flatnonzero(kept).astype(np.int32)] @ sp.diags_array(idf)
        lengths = np.sqrt(part.multiply(part).sum(axis=1))
        parts.append(sp.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ part)
        idfs.append(idf)
        keeps.append(kept)
    return _Vectors(sp.hstack(parts, format="csr"), (idfs[0], idfs[1]), (keeps[0], keeps[1]))


def _heads(matrix: Any, labels: Bools, seed: int) -> tuple[_Head, _Head]:
    ratio = _log_count_ratio(matrix, labels)
    scaled = matrix.copy()
    scaled.data *= ratio[scaled.indices]
    nb = _logistic(scaled, labels, NB_C, seed)
    return _logistic(matrix, labels, PLAIN_C, seed), _Head(nb.weights * ratio, nb.intercept)


def _log_count_ratio(matrix: Any, labels: Bools) -> Doubles:
    positive = NB_SMOOTHING + matrix[labels].sum(axis=0)
    negative = NB_SMOOTHING + matrix[~labels].sum(axis=0)
    ratio = np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))
    return np.asarray(np.sign(ratio) * np.abs(ratio) ** NB_DAMPING)


def _logistic(matrix: Any, labels: Bools, strength: float, seed: int) -> _Head:
    from sklearn.linear_model import LogisticRegression

    # The dual solver is three times as fast as the primal one here, and gives the same ranking.
    fitted = LogisticRegression(
        C=strength, solver="liblinear", dual=True, tol=1e-2, max_iter=2_000, random_state=seed
    ).fit(matrix, labels)
    return _Head(fitted.coef_[0], float(fitted.intercept_[0]))


def _stack(margins: Doubles, labels: Bools) -> tuple[Doubles, float]:
    """Shares of the two heads, none negative, and an offset, which make calibrated log-odds of held-out margins."""
    from scipy.optimize import minimize

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        z = margins @ parameters[:2] + parameters[2]
        off = 1 / (1 + np.exp(-z)) - labels
        # A little pull towards equal halves settles what the rows leave open.
        pull = parameters[:2] - 0.5
        value = np.logaddexp(0, z).sum() - z[labels].sum() + 0.5 * pull @ pull
        return value, np.append(margins.T @ off + pull, off.sum())

    found = minimize(
        loss, np.array([0.5, 0.5, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2 + [(None, None)]
    )
    return found.x[:2], float(found.x[2])


def _stage(counts: TextCounts, vectors: _Vectors, weights: Doubles, intercept: float) -> TextStage:
    split = len(vectors.idf[0])
    blocks = [
        Block(family.hashes[kept], idf.astype(np.float32), part.astype(np.float32))
        for family, kept, idf, part in zip(
            (counts.words, counts.chars), vectors.kept, vectors.idf, (weights[:split], weights[split:]), strict=True
        )
    ]
    return TextStage(blocks[0], blocks[1], intercept)

"""The text harms' rows from the corpora, and the fixed baseline to compare with.

The baseline: scikit-learn's word 1–2 and char_wb 2–5 TF-IDF (sublinear, min_df 2), logistic regression, C chosen from a
grid by average precision in an inner three-fold cross-validation. It is what most people would build in an afternoon,
and it beats XGBoost on the same sparse matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leads import corpora
from leads.policies import load_policies
from leads.settings import Settings
from leads.text import present
from training.data.split import draw, folds

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

GRID = (0.3, 1.0, 3.0, 10.0, 30.0)
TEST_SHARE = 0.2
# Trained on the first, tested on the second: both mean nearly the same by a violation.
CROSS = (
    ("cad:identity", "edos"),
    ("edos", "cad:identity"),
    ("cad:person", "convabuse"),
    ("convabuse", "cad:person"),
)


class Corpus(NamedTuple):
    """One harm's rows from the corpora, or those of one corpus key."""

    harm: str
    texts: list[str]
    labels: Bools
    groups: npt.NDArray[np.uint64]


class Split(NamedTuple):
    """Rows to train on and rows to test on; equal texts are on one side."""

    learn: Ints
    test: Ints


class Baseline(NamedTuple):
    """The baseline's probabilities for the test rows, and the threshold that was best in its inner folds."""

    scores: Doubles
    threshold: float


def text_harms(settings: Settings) -> list[Corpus]:
    """The rows of every text harm whose corpora are found."""
    there = corpora.available(settings.corpora_dir)
    found = []
    for harm, policy in load_policies(settings.policies).harms.items():
        keys = [key for key in policy.corpora if key.partition(":")[0] in there]
        if keys and policy.text:
            found.append(read(settings, harm, keys))
    return found


def cross_pairs(settings: Settings) -> list[tuple[str, str]]:
    """The pairs of `CROSS` whose corpora are found."""
    there = corpora.available(settings.corpora_dir)
    return [pair for pair in CROSS if all(key.partition(":")[0] in there for key in pair)]


def read(settings: Settings, name: str, keys: Sequence[str]) -> Corpus:
    """The rows that have a label for these corpus keys."""
    assert settings.corpora_dir is not None
    rows = [(row, row.label(keys)) for row in corpora.read_for(settings.corpora_dir, keys)]
    kept = [(row, label) for row, label in rows if label is not None and present(row.text)]
    labels = np.array([label for _, label in kept], dtype=np.bool_)
    groups = np.array([row.group for row, _ in kept], dtype=np.uint64)
    return Corpus(name, [row.text for row, _ in kept], labels, groups)


def split(corpus: Corpus, seed: int) -> Split:
    """A random 80/20 split."""
    test = draw(corpus.groups, 1_000 + seed) / 2.0**64 < TEST_SHARE
    return Split(np.flatnonzero(~test), np.flatnonzero(test))


def across(one: Corpus, other: Corpus) -> tuple[Corpus, Split]:
    """Train on all of one, test on all of the other but for texts that the first has too."""
    together = Corpus(
        f"{one.harm} → {other.harm}",
        one.texts + other.texts,
        np.concatenate((one.labels, other.labels)),
        np.concatenate((one.groups, other.groups)),
    )
    test = np.flatnonzero(~np.isin(other.groups, one.groups)) + len(one.texts)
    return together, Split(np.arange(len(one.texts)), test)


def baseline(corpus: Corpus, rows: Split, seed: int) -> Baseline:
    """Fit the baseline on the split's training rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    matrix = union.fit_transform([corpus.texts[i] for i in rows.learn.tolist()])
    labels = corpus.labels[rows.learn]
    inner = folds(corpus.groups[rows.learn], seed=seed, count=3)
    tried = [_inner(matrix, labels, inner, strength) for strength in GRID]
    best = int(np.argmax([quality for quality, _ in tried]))
    fitted = _logistic(GRID[best]).fit(matrix, labels)
    scores: Doubles = fitted.predict_proba(union.transform([corpus.texts[i] for i in rows.test.tolist()]))[:, 1]
    return Baseline(scores, best_threshold(tried[best][1], labels))


def average_precision(labels: Bools, scores: Doubles) -> float:
    """As scikit-learn defines it."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def macro_f1(labels: Bools, scores: Doubles, threshold: float) -> float:
    """Mean of both classes' F1 when everything from the threshold up counts as violating."""
    return float(_macro_f1(labels[None], (scores >= threshold)[None])[0])


def best_threshold(scores: Doubles, labels: Bools) -> float:
    """The one with the highest macro-F1 among 200 quantiles of held-out scores."""
    candidates = np.unique(np.quantile(scores, np.linspace(0, 1, 200)))
    quality = _macro_f1(np.broadcast_to(labels, (len(candidates), len(labels))), scores >= candidates[:, None])
    return float(candidates[int(np.argmax(quality))])


def _macro_f1(labels: Bools, called: Bools) -> Doubles:
    right = (labels & called).sum(axis=1), (~labels & ~called).sum(axis=1)
    wrong = (labels != called).sum(axis=1)
    return np.asarray(sum(2 * hits / np.maximum(2 * hits + wrong, 1) for hits in right) / 2)


def _inner(matrix: Any, labels: Bools, inner: Ints, strength: float) -> tuple[float, Doubles]:
    scores, quality = np.zeros(len(labels)), []
    for fold in np.unique(inner):
        held = inner == fold
        scores[held] = _logistic(strength).fit(matrix[~held], labels[~held]).predict_proba(matrix[held])[:, 1]
        quality.append(average_precision(labels[held], scores[held]))
    return float(np.mean(quality)), scores


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, solver="liblinear", max_iter=1_000)

"""Quality of the text harms on the public corpora, beside a tuned TF-IDF logistic regression.

Run: python -m benchmarks.training [--quick] [--json PATH]

The peer: scikit-learn's word 1–2 and char_wb 2–5 TF-IDF (sublinear, min_df 2), logistic regression, C chosen from a
grid by average precision in an inner three-fold cross-validation. Both see the same rows: repeated 80/20 splits in
which equal texts stay together. Differences are paired by repeat; their one-sided 95% lower bound is Nadeau and
Bengio's (2003), which widens the t interval because training sets overlap.

Calibration: each repeat's ECE has a p-value against its own distribution under perfect calibration. Repeats share
rows, so the p-values depend on each other; twice their median is a valid p-value whatever the dependence (Rüschendorf
1982, DiCiccio et al. 2020), and must not fall below 0.05.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks._report import Measure, arguments, at_least, at_most, report
from features.columns import contract_for, evaluate
from features.rows import missing
from leads import corpora
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from models.thresholds import Thresholds
from training.evaluate import brier, ece_p_value
from training.fit import fit
from training.make import draft
from training.split import draw, folds
from training.text_fit import TextCounts, count_texts

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

GRID = (0.3, 1.0, 3.0, 10.0, 30.0)
MARGIN = 0.01
TEST_SHARE = 0.2
REPEATS, QUICK_REPEATS = 5, 3


class Corpus(NamedTuple):
    """One harm's rows out of the corpora."""

    harm: str
    texts: list[str]
    labels: Bools
    groups: npt.NDArray[np.uint64]


class Repeat(NamedTuple):
    """One split's results: average precision and Brier score of ours and the peer's, p of our ECE, seconds to fit."""

    ap: float
    peer_ap: float
    brier: float
    peer_brier: float
    ece_p: float
    seconds: float


def main() -> int:
    """Measure every text harm whose corpora are there."""
    options = arguments(__doc__.splitlines()[0] if __doc__ else "")
    settings = load_settings()
    found = _corpora(settings)
    if not found:
        print("No corpora found: set LEADS_CORPORA to the folder that holds them.", file=sys.stderr)
        return 2
    repeats = QUICK_REPEATS if options.quick else REPEATS
    measures: list[Measure] = []
    seconds = 0.0
    for corpus in found:
        print(f"{corpus.harm}: {len(corpus.texts):,} texts, {repeats} repeats", file=sys.stderr)
        started = time.perf_counter()
        counts = count_texts(corpus.texts)
        counting = time.perf_counter() - started
        results = [_repeat(settings, corpus, counts, seed) for seed in range(repeats)]
        measures += _measures(corpus.harm, results)
        seconds += counting + float(np.mean([result.seconds for result in results]))
    measures.append(at_most("all: seconds to fit every text harm", seconds, "s", 180))
    return report("Text harms beside a tuned TF-IDF logistic regression", measures, options.json)


def _corpora(settings: Settings) -> list[Corpus]:
    folder = settings.corpora_dir
    there = corpora.available(folder)
    found = []
    for harm, policy in load_policies(settings.policies).harms.items():
        keys = [key for key in policy.corpora if key.partition(":")[0] in there]
        if folder is None or not keys or not policy.text:
            continue
        rows = [(row, row.label(keys)) for row in corpora.read_for(folder, keys)]
        kept = [(row, label) for row, label in rows if label is not None and row.text.strip()]
        labels = np.array([label for _, label in kept], dtype=np.bool_)
        groups = np.array([row.group for row, _ in kept], dtype=np.uint64)
        found.append(Corpus(harm, [row.text for row, _ in kept], labels, groups))
    return found


def _repeat(settings: Settings, corpus: Corpus, counts: TextCounts, seed: int) -> Repeat:
    test_mask = draw(corpus.groups, 1_000 + seed) / 2.0**64 < TEST_SHARE
    learn, test = np.flatnonzero(~test_mask), np.flatnonzero(test_mask)
    labels = corpus.labels[test]
    started = time.perf_counter()
    ours = _ours(settings, corpus, counts, learn, test, seed)
    seconds = time.perf_counter() - started
    peer = _peer(corpus, learn, test, seed)
    return Repeat(
        _ap(labels, ours),
        _ap(labels, peer),
        brier(ours, labels),
        brier(peer, labels),
        ece_p_value(ours, labels, seed=seed),
        seconds,
    )


def _ours(settings: Settings, corpus: Corpus, counts: TextCounts, learn: Ints, test: Ints, seed: int) -> Doubles:
    """Scores by the very code that trains and serves; the platform's features are missing, as for raw text."""
    contract = contract_for(text=True)
    n = len(corpus.texts)
    features = evaluate(contract, missing(n), np.zeros(n, dtype=np.int64), corpus.texts).matrix
    fitted = fit(
        contract,
        features[learn],
        corpus.labels[learn],
        folds(corpus.groups[learn], seed=seed),
        counts=counts,
        rows=learn,
        threads=settings.threads,
        seed=seed,
    )
    version = draft(corpus.harm, contract, fitted, Thresholds(None, None, {}))
    return version.score(features[test], [corpus.texts[i] for i in test.tolist()]).score


def _peer(corpus: Corpus, learn: Ints, test: Ints, seed: int) -> Doubles:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    matrix = union.fit_transform([corpus.texts[i] for i in learn.tolist()])
    labels = corpus.labels[learn]
    inner = folds(corpus.groups[learn], seed=seed, count=3)
    quality = [_inner_ap(matrix, labels, inner, strength) for strength in GRID]
    best = _logistic(GRID[int(np.argmax(quality))]).fit(matrix, labels)
    scores: Doubles = best.predict_proba(union.transform([corpus.texts[i] for i in test.tolist()]))[:, 1]
    return scores


def _inner_ap(matrix: Any, labels: Bools, inner: Ints, strength: float) -> float:
    found = []
    for fold in np.unique(inner):
        held = inner == fold
        fitted = _logistic(strength).fit(matrix[~held], labels[~held])
        found.append(_ap(labels[held], fitted.decision_function(matrix[held])))
    return float(np.mean(found))


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, solver="liblinear", max_iter=1_000)


def _ap(labels: Bools, scores: Doubles) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def _measures(harm: str, results: Sequence[Repeat]) -> list[Measure]:
    by_name = {name: np.array([getattr(result, name) for result in results]) for name in Repeat._fields}
    mean = {name: float(values.mean()) for name, values in by_name.items()}
    better = lower_bound(by_name["ap"] - by_name["peer_ap"])
    sharper = lower_bound(by_name["peer_brier"] - by_name["brier"])
    p = min(1.0, 2 * float(np.median(by_name["ece_p"])))
    return [
        Measure(f"{harm}: average precision", mean["ap"], ""),
        Measure(f"{harm}: average precision, peer", mean["peer_ap"], ""),
        at_least(f"{harm}: AP ours − peer, 95% lower bound", better, "", -MARGIN),
        Measure(f"{harm}: Brier", mean["brier"], ""),
        Measure(f"{harm}: Brier, peer", mean["peer_brier"], ""),
        at_least(f"{harm}: Brier peer − ours, 95% lower bound", sharper, "", -MARGIN),
        at_least(f"{harm}: calibration, 2 × median p", p, "", 0.05),
        Measure(f"{harm}: fit", mean["seconds"], "s"),
    ]


def lower_bound(differences: Doubles) -> float:
    """One-sided 95% lower bound of the mean difference over repeated splits (Nadeau and Bengio 2003)."""
    from scipy.stats import t

    n = len(differences)
    spread = np.sqrt((1 / n + TEST_SHARE / (1 - TEST_SHARE)) * differences.var(ddof=1))
    return float(differences.mean() - t.ppf(0.95, n - 1) * spread)


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from features.declared.builtin import ROLES
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from models.text.sentence import CachedEncoder
from models.thresholds import Thresholds
from training.config import DEFAULTS
from training.fit.calibrate import log_loss
from training.fit.counts import TextCounts, count_texts
from training.fit.model import Fit, draft, fit
from training.fit.text import fit_text
from training.fit.trees import never_lower

pytestmark = pytest.mark.slow

TEXT, BARE = contract_for(text=True), contract_for(text=False)


def fit_texts(made: Any, features: np.ndarray, **options: Any) -> Fit:
    rows = np.arange(len(made.texts))
    counts = count_texts(made.texts)
    return fit(TEXT, features, made.labels, made.folds, counts=counts, rows=rows, seed=1, **{"threads": 1} | options)


def features_of(made: Any) -> np.ndarray:
    n = len(made.texts)
    return evaluate(TEXT, missing(ROLES, n), np.zeros(n, dtype=np.int64), made.texts).matrix


def fit_counts(n: int, seed: int, effect: float) -> tuple[np.ndarray, np.ndarray, Fit]:
    """A harm without text whose first column tells the label as strongly as `effect` says."""
    random = np.random.default_rng(seed)
    features = random.exponential(size=(n, len(BARE.columns))).astype(np.float32)
    labels = random.random(n) < 1 / (1 + np.exp(2 - effect * features[:, 0]))
    groups = random.integers(0, 5, n)
    return features, labels, fit(BARE, features, labels, groups, counts=None, rows=np.arange(n), threads=1, seed=1)


def test_the_text_is_learned_and_scored_as_serving_scores_it(made: Any) -> None:
    fitted = fit_texts(made, features_of(made))
    version = draft("spam", TEXT, fitted, Thresholds(None, None, {}))
    scores = version.score(features_of(made), made.texts).score
    assert scores[made.labels].mean() > scores[~made.labels].mean() + 0.3
    spam, talk = version.text_scores(["subscribe free click winner", "lovely song chorus summer"])
    assert spam > talk + 2


def test_out_of_fold_scores_do_not_know_their_row() -> None:
    """Labels by coin: whoever has seen a row could tell its label, whoever has not can't."""
    random = np.random.default_rng(5)
    texts = [f"word{i} other{i} word{i}" for i in range(300)]
    labels = random.random(300) < 0.5
    found = fit_text(count_texts(texts), np.arange(300), labels, np.arange(300) % 5, seed=1).out_of_fold
    gap = found[labels].mean() - found[~labels].mean()
    assert abs(gap) < 4 * found.std() * np.sqrt(4 / 300) + 1e-9


def many_words(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of ten words from 2,000, most of them rare, each of which tells a little."""
    effects = np.random.default_rng(7).normal(scale=0.8, size=2_000)
    shares = 1 / np.arange(1, 2_001) ** 0.8
    random = np.random.default_rng(seed)
    words = random.choice(2_000, size=(n, 10), p=shares / shares.sum())
    texts = [" ".join(f"w{'abcdefghij'[word % 10]}{word}" for word in row) for row in words.tolist()]
    return texts, random.random(n) < 1 / (1 + np.exp(2 - effects[words].sum(axis=1)))


def test_log_odds_of_new_texts_are_no_wider_than_those_that_fitted_the_calibrator() -> None:
    """A stage on all rows that is regularised less than those on four fifths of them would claim too much."""
    wider = []
    for seed in (1, 2, 3):
        texts, labels = many_words(4_000, seed)
        rows = np.arange(1_000)
        found = fit_text(count_texts(texts[:1_000]), rows, labels[:1_000], rows % 5, seed=1)
        wider.append(found.stage.log_odds(texts[1_000:]).std() / found.out_of_fold.std())
    assert np.mean(wider) < 1.08


def test_equal_rows_and_seed_give_equal_bytes(made: Any) -> None:
    features = features_of(made)
    one, other = fit_texts(made, features), fit_texts(made, features)
    assert one.booster.save_raw("ubj") == other.booster.save_raw("ubj")
    assert one.calibrator == other.calibrator
    assert one.text_stage is not None
    assert other.text_stage is not None
    assert one.text_stage.to_bytes() == other.text_stage.to_bytes()


def test_no_trees_are_kept_when_they_help_no_more_than_chance() -> None:
    assert [fit_counts(600, seed, effect=0.0)[2].rounds for seed in range(3)] == [0, 0, 0]


def test_trees_are_kept_where_features_tell() -> None:
    _, labels, fitted = fit_counts(1_500, 0, effect=1.5)
    assert fitted.rounds > 5
    assert fitted.scores[labels].mean() > fitted.scores[~labels].mean() + 0.1


NEVER_LOWER = [name for name, held in zip(BARE.names, never_lower(DEFAULTS, BARE.names), strict=True) if held]


@pytest.mark.parametrize("name", NEVER_LOWER)
def test_more_signals_never_lower_a_score(name: str) -> None:
    """Even where the labels say the opposite."""
    column = BARE.names.index(name)
    random = np.random.default_rng(2)
    features = random.exponential(size=(800, len(BARE.columns))).astype(np.float32)
    labels = random.random(800) < 1 / (1 + np.exp(2 * features[:, column] + features[:, 0] - 3))
    folds = random.integers(0, 5, 800)
    fitted = fit(BARE, features, labels, folds, counts=None, rows=np.arange(800), threads=1, seed=1)
    version = draft("spam", BARE, fitted, Thresholds(None, None, {}))
    assert fitted.rounds > 0
    low = version.score_vector(features).score
    features[:, column] += random.exponential(3, 800).astype(np.float32)
    assert (version.score_vector(features).score >= low).all()


def test_rows_without_text_start_from_the_prior(made: Any) -> None:
    texts = [None if i % 7 == 0 else text for i, text in enumerate(made.texts)]
    counts, rows = count_texts(texts), np.arange(len(texts))
    features = np.full((len(texts), len(TEXT.columns)), np.nan, dtype=np.float32)
    fitted = fit(TEXT, features, made.labels, made.folds, counts=counts, rows=rows, threads=1, seed=1)
    assert np.array_equal(np.isnan(fitted.vector[:, -1]), [text is None for text in texts])
    assert fitted.prior_log_odds == pytest.approx(np.log(made.labels.mean() / (1 - made.labels.mean())))


def secret(text: str) -> bool:
    """What no gram of a text gives away."""
    return bool(crc32(text.encode()) & 1)


class Knowing:
    """Stands for a sentence encoder: one of its four numbers tells what the text's words don't."""

    version, width = "knowing-1", 4

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        made = np.array([[ord(c) % 7 for c in text[:3].ljust(3)] for text in texts], dtype=np.float32)
        return np.column_stack((made, [secret(text) for text in texts])).astype(np.float32)


def test_a_head_on_sentence_vectors_learns_what_words_do_not_tell(made: Any) -> None:
    labels = np.array([secret(text) for text in made.texts]) ^ (np.random.default_rng(0).random(600) < 0.02)
    encoder = CachedEncoder(Knowing())
    rows, features = np.arange(600), features_of(made)

    def fitted(counts: TextCounts) -> Fit:
        return fit(TEXT, features, labels, made.folds, counts=counts, rows=rows, threads=1, seed=1)

    plain, both = fitted(count_texts(made.texts)), fitted(count_texts(made.texts, encoder))
    assert log_loss(both.scores, labels).mean() < 0.7 * log_loss(plain.scores, labels).mean()
    assert both.text_stage is not None
    assert both.text_stage.sentence is not None
    assert both.text_stage.sentence.encoder == "knowing-1"
    fresh = [f"lovely song {i} x" for i in range(40)]
    scores = draft("spam", TEXT, both, Thresholds(None, None, {})).text_scores(fresh)
    told = np.array([secret(text) for text in fresh])
    assert scores[told].mean() > scores[~told].mean() + 1


def test_labels_that_weigh_nothing_teach_nothing(made: Any) -> None:
    """A fifth of the labels is turned round; with next to no weight they change hardly anything."""
    wrong = np.arange(600) % 5 == 0
    turned = made.labels ^ wrong
    weights = np.where(wrong, 1e-6, 1.0)
    rows, counts = np.arange(600), count_texts(made.texts)
    weighed = fit_text(counts, rows, turned, made.folds, seed=1, weights=weights).out_of_fold
    plain = fit_text(counts, rows, turned, made.folds, seed=1).out_of_fold
    truth = made.labels
    assert log_loss(1 / (1 + np.exp(-weighed)), truth).mean() < log_loss(1 / (1 + np.exp(-plain)), truth).mean() - 0.05

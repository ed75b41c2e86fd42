"""How a text model must behave, whatever it learned: disguises that leave a text's normal form alone change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from features.declared.builtin import ROLES
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from models.thresholds import Thresholds
from models.version import ModelVersion
from training.data.split import folds
from training.fit.counts import count_texts
from training.fit.model import draft, fit

CONTRACT = contract_for(text=True)
SPAM = ("Subscribe to my channel", "free gift cards here", "earn cash from home", "visit www.example.com now")
TALK = ("I love this song", "the chorus is beautiful", "who plays the drums", "this reminds me of summer")
PARTS = ("today", "please", "everyone", "my friends", "really", "so much", "honestly", "again", "wow", "right now")


@pytest.fixture(scope="module")
def version() -> ModelVersion:
    """Learned from 800 short comments, a third of them spam."""
    random = np.random.default_rng(11)
    labels = random.random(800) < 0.35
    texts = [
        f"{random.choice(PARTS)} {random.choice(SPAM if spam else TALK)} {random.choice(PARTS)} {i % 97}"
        for i, spam in enumerate(labels)
    ]
    labels ^= random.random(800) < 0.03
    features = evaluate(CONTRACT, missing(ROLES, 800), np.zeros(800, dtype=np.int64), texts).matrix
    inside, rows = folds(np.arange(800, dtype=np.uint64), seed=1), np.arange(800)
    fitted = fit(CONTRACT, features, labels, inside, counts=count_texts(texts), rows=rows, threads=1, seed=1)
    return draft("spam", CONTRACT, fitted, Thresholds(None, None, {}))


def score(version: ModelVersion, *texts: str) -> list[float]:
    n = len(texts)
    features = evaluate(CONTRACT, missing(ROLES, n), np.zeros(n, dtype=np.int64), list(texts)).matrix
    scores: list[float] = version.score(features, texts).score.tolist()
    return scores


@pytest.mark.parametrize(
    "disguise",
    [
        str.upper,
        str.title,
        lambda text: text.replace(" ", "   \n"),
        lambda text: "\u200b".join(text),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    ],
    ids=["upper case", "title case", "white space", "zero width", "full width"],
)
def test_the_text_score_sees_through_disguises(version: ModelVersion, disguise) -> None:  # type: ignore[no-untyped-def]
    for text in (*SPAM, *TALK):
        assert version.text_scores([disguise(text)]) == version.text_scores([text])


def test_clear_cases_are_clear(version: ModelVersion) -> None:
    """Minimum functionality."""
    assert min(score(version, *SPAM)) > 0.6
    assert max(score(version, *TALK)) < 0.3


def test_spam_added_to_talk_raises_the_score(version: ModelVersion) -> None:
    """Direction."""
    for talk in TALK:
        plain, mixed = score(version, talk, f"{talk}, {SPAM[0]} for {SPAM[1]}")
        assert mixed > plain


def test_a_neutral_name_moves_little(version: ModelVersion) -> None:
    """Invariance: what was never learned carries no weight of its own."""
    one, other = version.text_scores(["Zanele loves this song", "Oluwaseun loves this song"])
    assert abs(one - other) < 1.5


def test_a_language_that_was_never_learned_is_not_called_spam(version: ModelVersion) -> None:
    assert max(score(version, "这首歌很好听", "как красиво", "أغنية جميلة")) < 0.6

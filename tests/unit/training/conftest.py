"""Texts from a small grammar in which some words tell the label, and not always rightly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from training.data.split import folds

SPAM = ("subscribe", "free", "click", "winner", "channel", "cash", "visit", "offer")
TALK = ("lovely", "song", "chorus", "summer", "guitar", "voice", "album", "again", "night", "drums", "live", "sings")


class Texts(NamedTuple):
    """n texts with labels, groups and folds."""

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray


def make_texts(n: int, seed: int = 0, share: float = 0.3) -> Texts:
    """A text is eight words; a spam text draws half of its words from another list, one in ten labels is wrong."""
    random = np.random.default_rng(seed)
    labels = random.random(n) < share
    texts = [
        " ".join(random.choice(SPAM if label and random.random() < 0.5 else TALK) for _ in range(8)) + f" {i}"
        for i, label in enumerate(labels)
    ]
    labels ^= random.random(n) < 0.1
    groups = np.arange(n, dtype=np.uint64)
    return Texts(texts, labels, groups, folds(groups, seed=seed))


@pytest.fixture(scope="session")
def made() -> Texts:
    return make_texts(600)

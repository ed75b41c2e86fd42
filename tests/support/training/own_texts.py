"""Texts of a harm of one's own: half of the words of violating ones are others than those of the rest."""

from __future__ import annotations

import numpy as np

BAD = ("subscribe", "free", "click", "winner", "channel", "cash", "visit", "offer")
FINE = ("lovely", "song", "chorus", "summer", "guitar", "voice", "album", "again", "night", "drums", "live", "sings")


def own_text(random: np.random.Generator, i: int, seed: int, *, bad: bool) -> str:
    """The text of row `i`, unlike those of other rows and seeds."""
    words = [random.choice(BAD if bad and random.random() < 0.5 else FINE) for _ in range(8)]
    return " ".join([*words, str(i), str(seed)])


def own_policies(retrain: str) -> str:
    """A `policies.yaml` with one harm, `my_harm`, whose `retrain` is this."""
    return f"""
version: 1
harms:
  my_harm:
    title: One of our own
    subject_types: [comment]
    severity: 3
    dsa_category: STATEMENT_CATEGORY_OTHER_VIOLATION_TC
    review: {{precision: 0.5, at_least: 0.3}}
    retrain: {retrain}
"""

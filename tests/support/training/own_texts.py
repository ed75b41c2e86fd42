"""Texts of a harm of one's own: half of the words of violating ones are others than those of the rest."""

from __future__ import annotations

import numpy as np

BAD = ("subscribe", "free", "click", "winner", "channel", "cash", "visit", "offer")
FINE = ("lovely", "song", "chorus", "summer", "guitar", "voice", "album", "again", "night", "drums", "live", "sings")


def own_text(random: np.random.Generator, i: int, seed: int, *, bad: bool) -> str:
    """The text of row `i`, unlike those of other rows and seeds."""
    words = [random.choice(BAD if bad and random.random() < 0.5 else FINE) for _ in range(8)]
    return " ".join([*words, str(i), str(seed)])

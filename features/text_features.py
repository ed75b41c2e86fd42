"""Features that are computed from a text alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class TextFeature(NamedTuple):
    """A feature computed from the text alone. `meaning` is as of a stored feature."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[str], float]


# One match per link; the look-behind keeps matching linear on long runs of letters.
_URL = re.compile(
    r"(?:https?://|www\.|(?<![a-z0-9-])[a-z0-9-]+\.(?:com|net|org|ru|io|ly|be|tv|info|co)\b)\S*", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d")
_PUNCT = re.compile(r"[^\w\s]")
_REPEATS = re.compile(r"(.)\1\1")

TEXT: tuple[TextFeature, ...] = (
    TextFeature("text.chars", "count", "length of the text", lambda t: float(len(t))),
    TextFeature("text.words", "count", "words in the text", lambda t: float(len(_WORD.findall(t)))),
    TextFeature("text.urls", "count", "links in the text", lambda t: float(len(_URL.findall(t)))),
    TextFeature(
        "text.upper_share",
        "share",
        "share of capital letters",
        lambda t: sum(map(str.isupper, t)) / len(t) if t else 0.0,
    ),
    TextFeature(
        "text.digit_share", "share", "share of digits", lambda t: len(_DIGITS.findall(t)) / len(t) if t else 0.0
    ),
    TextFeature(
        "text.punctuation_share",
        "share",
        "share of punctuation",
        lambda t: len(_PUNCT.findall(t)) / len(t) if t else 0.0,
    ),
    TextFeature(
        "text.repeats",
        "count",
        "characters repeated three times in a row",
        lambda t: float(len(_REPEATS.findall(t))),
    ),
)

TEXT_BY_NAME = {feature.name: feature for feature in TEXT}

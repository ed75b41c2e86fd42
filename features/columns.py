"""The named features: what each means to a reviewer, its unit, and how it is computed at an instant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from features import rows
from features.contract import Column, FeatureContract
from features.rows import ACCOUNT, ITEM, LAYOUTS, PARENT, Instants, Layout, Matrix

ENCODER_VERSION = "counts-1"
FEATURE_SERVICE = "leads_v1"


class Feature(NamedTuple):
    """One named feature. `meaning` completes “the subject was offered because of …”."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[Mapping[str, Matrix], Instants], Matrix]


def _age(layout: Layout) -> Callable[[Mapping[str, Matrix], Instants], Matrix]:
    def compute(packed: Mapping[str, Matrix], as_of: Instants) -> Matrix:
        first = rows.seconds(packed[layout.view], rows.FIRST)
        return np.maximum((as_of // 1_000_000 - first) / 3_600, 0).astype(np.float32)

    return compute


def _window(layout: Layout, counter: str, unit: str) -> Callable[[Mapping[str, Matrix], Instants], Matrix]:
    return lambda packed, as_of: rows.window(packed[layout.view], layout, counter, unit, as_of)


def _total(layout: Layout, counter: str) -> Callable[[Mapping[str, Matrix], Instants], Matrix]:
    return lambda packed, as_of: packed[layout.view][:, layout.total(counter)]


def _share(layout: Layout, part: str, whole: str, unit: str) -> Callable[[Mapping[str, Matrix], Instants], Matrix]:
    """`part` / `whole` in the window; NaN where nothing was counted."""

    def compute(packed: Mapping[str, Matrix], as_of: Instants) -> Matrix:
        top = rows.window(packed[layout.view], layout, part, unit, as_of)
        bottom = rows.window(packed[layout.view], layout, whole, unit, as_of)
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    return compute


STORED: tuple[Feature, ...] = (
    Feature("item.age_h", "hours", "time since the item appeared", _age(ITEM)),
    Feature("item.versions", "count", "times the item was sent or edited", _total(ITEM, "versions")),
    Feature("item.plays_24h", "count", "plays in 24 hours", _window(ITEM, "plays", "h")),
    Feature("item.reports_24h", "count", "user reports in 24 hours", _window(ITEM, "reports", "h")),
    Feature("item.reports_7d", "count", "user reports in 7 days", _window(ITEM, "reports", "d")),
    Feature("item.notices", "count", "trusted-flagger notices", _total(ITEM, "notices")),
    Feature("item.hash_matches", "count", "matches with known violating content", _total(ITEM, "hash_matches")),
    Feature("account.age_h", "hours", "age of the account", _age(ACCOUNT)),
    Feature("account.items_24h", "count", "items by the account in 24 hours", _window(ACCOUNT, "items", "h")),
    Feature("account.items_7d", "count", "items by the account in 7 days", _window(ACCOUNT, "items", "d")),
    Feature("account.reports_24h", "count", "reports of its items in 24 hours", _window(ACCOUNT, "reports", "h")),
    Feature("account.reports_7d", "count", "reports of its items in 7 days", _window(ACCOUNT, "reports", "d")),
    Feature("account.strikes", "count", "violations found before", _total(ACCOUNT, "strikes")),
    Feature("account.plays_24h", "count", "plays by the account in 24 hours", _window(ACCOUNT, "plays", "h")),
    Feature("account.plays_7d", "count", "plays by the account in 7 days", _window(ACCOUNT, "plays", "d")),
    Feature(
        "account.short_share_7d",
        "share",
        "share of its plays that stop right after 30 seconds, in 7 days",
        _share(ACCOUNT, "short_plays", "plays", "d"),
    ),
    Feature(
        "account.night_share_7d",
        "share",
        "share of its plays between 0 and 6 h UTC, in 7 days",
        _share(ACCOUNT, "night_plays", "plays", "d"),
    ),
    Feature(
        "parent.children_24h", "count", "comments under the same item in 24 hours", _window(PARENT, "children", "h")
    ),
    Feature("parent.reports_24h", "count", "reports under the same item in 24 hours", _window(PARENT, "reports", "h")),
)

_URL = re.compile(r"https?://|www\.|\b[a-z0-9-]+\.(?:com|net|org|ru|io|ly|be|tv|info|co)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d")
_PUNCT = re.compile(r"[^\w\s]")
_REPEATS = re.compile(r"(.)\1\1")


class TextFeature(NamedTuple):
    """One label-free text count."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[str], float]


TEXT: tuple[TextFeature, ...] = (
    TextFeature("text.chars", "count", "length of the text", lambda t: float(len(t))),
    TextFeature("text.words", "count", "words in the text", lambda t: float(len(_WORD.findall(t)))),
    TextFeature("text.urls", "count", "links in the text", lambda t: float(len(_URL.findall(t)))),
    TextFeature(
        "text.upper_share", "share", "share of capitals", lambda t: sum(map(str.isupper, t)) / len(t) if t else 0.0
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
    TextFeature("text.repeats", "count", "characters three times in a row", lambda t: float(len(_REPEATS.findall(t)))),
)

ALL: tuple[Feature | TextFeature, ...] = STORED + TEXT
BY_NAME: dict[str, Feature | TextFeature] = {feature.name: feature for feature in ALL}


def contract_for(*, text: bool) -> FeatureContract:
    """Every stored feature, and for harms judged by text the text counts too."""
    features = ALL if text else STORED
    return FeatureContract(
        feature_service=FEATURE_SERVICE,
        columns=tuple(Column(feature.name) for feature in features),
        encoder_version=ENCODER_VERSION,
    )


def missing(n: int) -> dict[str, Matrix]:
    """Packed rows for `n` subjects of which nothing is stored."""
    return {layout.view: np.full((n, layout.width), np.nan, dtype=np.float32) for layout in LAYOUTS}


def evaluate(
    contract: FeatureContract, packed: Mapping[str, Matrix], as_of: Instants, texts: Sequence[str | None]
) -> Matrix:
    """The contract's matrix: the one place where stored rows and text become model input.

    Args:
        packed: for each view (n, width) float32, NaN rows for missing entities.
        as_of: (n,) instants in µs at which the features are evaluated.
        texts: (n,) texts; None where the subject has none, which gives NaN.

    Returns:
        (n, len(contract.columns)) float32.

    Raises:
        KeyError: the contract names a feature that this version of the code doesn't have.
    """
    out = np.empty((len(as_of), len(contract.columns)), dtype=np.float32)
    for j, column in enumerate(contract.columns):
        feature = BY_NAME[column.name]
        if isinstance(feature, TextFeature):
            out[:, j] = [np.nan if text is None else feature.compute(text) for text in texts]
        else:
            out[:, j] = feature.compute(packed, as_of)
    return out

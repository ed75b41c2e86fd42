"""The named features: what each means to a reviewer, its unit, and how it is computed at an instant.

A feature's name begins with the view it is read from. `bucket` features are the higher of the text's two buckets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from features.rows import Matrix
from features.windows import Rows, share


class Feature(NamedTuple):
    """One feature of stored rows. `meaning` completes “the subject was offered because of …”."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[Rows], Matrix]

    @property
    def view(self) -> str:
        return self.name.partition(".")[0]


class TextFeature(NamedTuple):
    """One label-free text count."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[str], float]


def _count(counter: str, window: str) -> Callable[[Rows], Matrix]:
    return lambda rows: rows.count(counter, window)


def _total(name: str) -> Callable[[Rows], Matrix]:
    return lambda rows: rows.total(name)


def _distinct(sketch: str, window: str) -> Callable[[Rows], Matrix]:
    return lambda rows: rows.distinct(sketch, window)


def _share(part: str, whole: str, window: str) -> Callable[[Rows], Matrix]:
    return lambda rows: share(rows.count(part, window), rows.count(whole, window))


def _per_distinct(counter: str, sketch: str, window: str) -> Callable[[Rows], Matrix]:
    return lambda rows: share(rows.count(counter, window), rows.distinct(sketch, window))


def _velocity(counter: str, window: str, hours: int) -> Callable[[Rows], Matrix]:
    """The last hour's count over the window's mean per hour; 1 is an even pace, NaN where nothing was counted."""
    return lambda rows: share(rows.count(counter, "1h") * np.float32(hours), rows.count(counter, window))


def _surge(counter: str) -> Callable[[Rows], Matrix]:
    """Count of 24 h over 1 + the daily mean of the 6 days before."""

    def compute(rows: Rows) -> Matrix:
        today, week = rows.count(counter, "24h"), rows.count(counter, "7d")
        surge: Matrix = today / (1 + np.maximum(week - today, 0) / np.float32(6))
        return surge

    return compute


def _rate(part: str, whole: str, window: str) -> Callable[[Rows], Matrix]:
    """Per hundred, one added below so that few plays don't make a rate."""

    def compute(rows: Rows) -> Matrix:
        rate: Matrix = np.float32(100) * rows.count(part, window) / (rows.count(whole, window) + 1)
        return rate

    return compute


def _strike_share(rows: Rows) -> Matrix:
    return share(rows.total("strikes"), rows.total("strikes") + rows.total("cleared"))


def _reliability(rows: Rows) -> Matrix:
    """Mean of a Beta(1 + confirmed, 1 + rejected)."""
    confirmed, rejected = rows.total("reports_confirmed"), rows.total("reports_rejected")
    mean: Matrix = (1 + confirmed) / (2 + confirmed + rejected)
    return mean


ITEM = (
    Feature("item.age_h", "hours", "time since the item appeared", Rows.age_h),
    Feature("item.versions", "count", "times the item was sent or edited", _total("versions")),
    Feature("item.plays_1h", "count", "plays in an hour", _count("plays", "1h")),
    Feature("item.plays_24h", "count", "plays in 24 hours", _count("plays", "24h")),
    Feature("item.plays_7d", "count", "plays in 7 days", _count("plays", "7d")),
    Feature("item.play_velocity", "ratio", "plays in an hour against the day's pace", _velocity("plays", "24h", 24)),
    Feature("item.listeners_24h", "count", "different listeners in 24 hours", _distinct("listeners", "24h")),
    Feature(
        "item.plays_per_listener_24h",
        "ratio",
        "plays per listener in 24 hours",
        _per_distinct("plays", "listeners", "24h"),
    ),
    Feature(
        "item.short_share_24h",
        "share",
        "share of plays that stop right after 30 seconds, in 24 hours",
        _share("short_plays", "plays", "24h"),
    ),
    Feature("item.reports_1h", "count", "user reports in an hour", _count("reports", "1h")),
    Feature("item.reports_24h", "count", "user reports in 24 hours", _count("reports", "24h")),
    Feature("item.reports_7d", "count", "user reports in 7 days", _count("reports", "7d")),
    Feature("item.reports_90d", "count", "user reports in 90 days", _count("reports", "90d")),
    Feature("item.reporters_7d", "count", "different reporters in 7 days", _distinct("reporters", "7d")),
    Feature(
        "item.reliable_reports_7d",
        "count",
        "user reports in 7 days, each counted as how often its reporter was right",
        _count("reliable_reports", "7d"),
    ),
    Feature("item.report_surge", "ratio", "reports in 24 hours against the week before", _surge("reports")),
    Feature(
        "item.report_rate_24h", "percent", "reports per hundred plays in 24 hours", _rate("reports", "plays", "24h")
    ),
    Feature("item.notices", "count", "trusted-flagger notices", _total("notices")),
    Feature("item.hash_matches", "count", "matches with known violating content", _total("hash_matches")),
    Feature("item.classifier_score", "score", "the highest score of a partner's classifier", _total("classifier")),
)

ACCOUNT = (
    Feature("account.age_h", "hours", "age of the account", Rows.age_h),
    Feature("account.items_1h", "count", "items by the account in an hour", _count("items", "1h")),
    Feature("account.items_24h", "count", "items by the account in 24 hours", _count("items", "24h")),
    Feature("account.items_7d", "count", "items by the account in 7 days", _count("items", "7d")),
    Feature("account.items_90d", "count", "items by the account in 90 days", _count("items", "90d")),
    Feature(
        "account.item_velocity", "ratio", "items in an hour against the week's pace", _velocity("items", "7d", 168)
    ),
    Feature(
        "account.parents_24h", "count", "different items it hung something on, in 24 hours", _distinct("parents", "24h")
    ),
    Feature("account.texts_7d", "count", "different texts by the account in 7 days", _distinct("texts", "7d")),
    Feature(
        "account.items_per_text_7d",
        "ratio",
        "items per different text in 7 days",
        _per_distinct("items", "texts", "7d"),
    ),
    Feature(
        "account.link_share_7d",
        "share",
        "share of its items with a link, in 7 days",
        _share("link_items", "items", "7d"),
    ),
    Feature("account.reports_24h", "count", "reports of its items in 24 hours", _count("reports", "24h")),
    Feature("account.reports_7d", "count", "reports of its items in 7 days", _count("reports", "7d")),
    Feature("account.reports_90d", "count", "reports of its items in 90 days", _count("reports", "90d")),
    Feature(
        "account.reporters_7d", "count", "different reporters of its items in 7 days", _distinct("reporters", "7d")
    ),
    Feature("account.notices_90d", "count", "notices and matches about its items in 90 days", _count("notices", "90d")),
    Feature("account.strikes", "count", "violations found before", _total("strikes")),
    Feature("account.strikes_90d", "count", "violations found in 90 days", _count("strikes", "90d")),
    Feature("account.cleared", "count", "times it was found not violating", _total("cleared")),
    Feature("account.strike_share", "share", "share of its decisions that found a violation", _strike_share),
    Feature("account.plays_1h", "count", "plays by the account in an hour", _count("plays", "1h")),
    Feature("account.plays_24h", "count", "plays by the account in 24 hours", _count("plays", "24h")),
    Feature("account.plays_7d", "count", "plays by the account in 7 days", _count("plays", "7d")),
    Feature("account.plays_90d", "count", "plays by the account in 90 days", _count("plays", "90d")),
    Feature("account.tracks_24h", "count", "different tracks it played in 24 hours", _distinct("tracks", "24h")),
    Feature(
        "account.track_entropy_7d",
        "bits",
        "how evenly its plays spread over tracks, in 7 days",
        lambda r: r.entropy("7d"),
    ),
    Feature(
        "account.short_share_24h",
        "share",
        "share of its plays that stop right after 30 seconds, in 24 hours",
        _share("short_plays", "plays", "24h"),
    ),
    Feature(
        "account.short_share_7d",
        "share",
        "share of its plays that stop right after 30 seconds, in 7 days",
        _share("short_plays", "plays", "7d"),
    ),
    Feature(
        "account.night_share_7d",
        "share",
        "share of its plays between 0 and 6 h UTC, in 7 days",
        _share("night_plays", "plays", "7d"),
    ),
    Feature("account.devices_7d", "count", "different devices it played from, in 7 days", _distinct("devices", "7d")),
    Feature("account.reports_made_7d", "count", "reports it made in 7 days", _count("reports_made", "7d")),
    Feature("account.report_reliability", "share", "how often its own reports were right", _reliability),
)

PARENT = (
    Feature("parent.children_1h", "count", "comments under the same item in an hour", _count("children", "1h")),
    Feature("parent.children_24h", "count", "comments under the same item in 24 hours", _count("children", "24h")),
    Feature(
        "parent.accounts_24h", "count", "different accounts commenting there in 24 hours", _distinct("accounts", "24h")
    ),
    Feature("parent.reports_24h", "count", "reports under the same item in 24 hours", _count("reports", "24h")),
)

BUCKET = (
    Feature("bucket.items_24h", "count", "items with nearly the same text in 24 hours", _count("items", "24h")),
    Feature("bucket.items_7d", "count", "items with nearly the same text in 7 days", _count("items", "7d")),
    Feature(
        "bucket.accounts_24h", "count", "accounts with nearly the same text in 24 hours", _distinct("accounts", "24h")
    ),
    Feature("bucket.accounts_7d", "count", "accounts with nearly the same text in 7 days", _distinct("accounts", "7d")),
    Feature(
        "bucket.reports_7d", "count", "reports of items with nearly the same text in 7 days", _count("reports", "7d")
    ),
    Feature(
        "bucket.violations_90d",
        "count",
        "violations found in nearly the same text in 90 days",
        _count("violations", "90d"),
    ),
)

DEVICE = (
    Feature(
        "device.accounts_24h", "count", "accounts on the account's device in 24 hours", _distinct("accounts", "24h")
    ),
    Feature("device.accounts_7d", "count", "accounts on the account's device in 7 days", _distinct("accounts", "7d")),
    Feature("device.plays_24h", "count", "plays from the account's device in 24 hours", _count("plays", "24h")),
)

STORED: tuple[Feature, ...] = ITEM + ACCOUNT + PARENT + BUCKET + DEVICE

# One match per link; the look-behind keeps it linear on long runs of letters.
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

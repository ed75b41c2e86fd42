"""The named features: meaning, unit and formula of each.

A feature's name starts with the view it is read from. A `bucket` feature is the higher value of the text's two buckets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from features.formulas import (
    Age,
    Count,
    Distinct,
    Formula,
    Total,
    entropy,
    likelihood,
    per_distinct,
    rate,
    share,
    share_of_both,
    surge,
    velocity,
)


class Feature(NamedTuple):
    """A feature computed from stored rows. `meaning` completes the sentence "The subject was flagged because of …"."""

    name: str
    unit: str
    meaning: str
    formula: Formula

    @property
    def view(self) -> str:
        return self.name.partition(".")[0]


class TextFeature(NamedTuple):
    """A feature computed from the text alone."""

    name: str
    unit: str
    meaning: str
    compute: Callable[[str], float]


ITEM = (
    Feature("item.age_h", "hours", "time since the item appeared", Age()),
    Feature("item.versions", "count", "times the item was sent or edited", Total("versions")),
    Feature("item.plays_1h", "count", "plays in an hour", Count("plays", "1h")),
    Feature("item.plays_24h", "count", "plays in 24 hours", Count("plays", "24h")),
    Feature("item.plays_7d", "count", "plays in 7 days", Count("plays", "7d")),
    Feature(
        "item.play_velocity", "ratio", "plays in an hour compared with the day's average", velocity("plays", "24h", 24)
    ),
    Feature("item.listeners_24h", "count", "different listeners in 24 hours", Distinct("listeners", "24h")),
    Feature(
        "item.plays_per_listener_24h",
        "ratio",
        "plays per listener in 24 hours",
        per_distinct("plays", "listeners", "24h"),
    ),
    Feature(
        "item.short_share_24h",
        "share",
        "share of plays that stop right after 30 seconds, in 24 hours",
        share("short_plays", "plays", "24h"),
    ),
    Feature("item.reports_1h", "count", "user reports in an hour", Count("reports", "1h")),
    Feature("item.reports_24h", "count", "user reports in 24 hours", Count("reports", "24h")),
    Feature("item.reports_7d", "count", "user reports in 7 days", Count("reports", "7d")),
    Feature("item.reports_90d", "count", "user reports in 90 days", Count("reports", "90d")),
    Feature("item.reporters_7d", "count", "different reporters in 7 days", Distinct("reporters", "7d")),
    Feature(
        "item.reliable_reports_7d",
        "count",
        "user reports in 7 days, weighted by how often each reporter was right",
        Count("reliable_reports", "7d"),
    ),
    Feature("item.report_surge", "ratio", "reports in 24 hours compared with the 6 days before", surge("reports")),
    Feature(
        "item.report_rate_24h", "percent", "reports per hundred plays in 24 hours", rate("reports", "plays", "24h")
    ),
    Feature("item.notices", "count", "trusted-flagger notices", Total("notices")),
    Feature("item.hash_matches", "count", "matches with known violating content", Total("hash_matches")),
    Feature("item.classifier_score", "score", "highest score from a partner's classifier", Total("classifier")),
)

ACCOUNT = (
    Feature("account.age_h", "hours", "age of the account", Age()),
    Feature("account.items_1h", "count", "items by the account in an hour", Count("items", "1h")),
    Feature("account.items_24h", "count", "items by the account in 24 hours", Count("items", "24h")),
    Feature("account.items_7d", "count", "items by the account in 7 days", Count("items", "7d")),
    Feature("account.items_90d", "count", "items by the account in 90 days", Count("items", "90d")),
    Feature(
        "account.item_velocity",
        "ratio",
        "items in an hour compared with the week's average",
        velocity("items", "7d", 168),
    ),
    Feature("account.parents_24h", "count", "different items it posted under in 24 hours", Distinct("parents", "24h")),
    Feature("account.texts_7d", "count", "different texts by the account in 7 days", Distinct("texts", "7d")),
    Feature(
        "account.items_per_text_7d",
        "ratio",
        "items per different text in 7 days",
        per_distinct("items", "texts", "7d"),
    ),
    Feature(
        "account.link_share_7d",
        "share",
        "share of its items with a link, in 7 days",
        share("link_items", "items", "7d"),
    ),
    Feature("account.reports_24h", "count", "reports of its items in 24 hours", Count("reports", "24h")),
    Feature("account.reports_7d", "count", "reports of its items in 7 days", Count("reports", "7d")),
    Feature("account.reports_90d", "count", "reports of its items in 90 days", Count("reports", "90d")),
    Feature("account.reporters_7d", "count", "different reporters of its items in 7 days", Distinct("reporters", "7d")),
    Feature("account.notices_90d", "count", "notices and matches about its items in 90 days", Count("notices", "90d")),
    Feature("account.strikes", "count", "violations found so far", Total("strikes")),
    Feature("account.strikes_90d", "count", "violations found in 90 days", Count("strikes", "90d")),
    Feature("account.cleared", "count", "times it was found not violating", Total("cleared")),
    Feature(
        "account.strike_share",
        "share",
        "share of its decisions that found a violation",
        share_of_both("strikes", "cleared"),
    ),
    Feature("account.plays_1h", "count", "plays by the account in an hour", Count("plays", "1h")),
    Feature("account.plays_24h", "count", "plays by the account in 24 hours", Count("plays", "24h")),
    Feature("account.plays_7d", "count", "plays by the account in 7 days", Count("plays", "7d")),
    Feature("account.plays_90d", "count", "plays by the account in 90 days", Count("plays", "90d")),
    Feature("account.tracks_24h", "count", "different tracks it played in 24 hours", Distinct("tracks", "24h")),
    Feature(
        "account.track_entropy_7d",
        "bits",
        "how evenly its plays are spread over tracks, in 7 days",
        entropy("7d"),
    ),
    Feature(
        "account.short_share_24h",
        "share",
        "share of its plays that stop right after 30 seconds, in 24 hours",
        share("short_plays", "plays", "24h"),
    ),
    Feature(
        "account.short_share_7d",
        "share",
        "share of its plays that stop right after 30 seconds, in 7 days",
        share("short_plays", "plays", "7d"),
    ),
    Feature(
        "account.night_share_7d",
        "share",
        "share of its plays between 00:00 and 06:00 UTC, in 7 days",
        share("night_plays", "plays", "7d"),
    ),
    Feature("account.devices_7d", "count", "different devices it played from, in 7 days", Distinct("devices", "7d")),
    Feature("account.reports_made_7d", "count", "reports it made in 7 days", Count("reports_made", "7d")),
    Feature(
        "account.report_reliability",
        "share",
        "how often its own reports were right",
        likelihood("reports_confirmed", "reports_rejected"),
    ),
)

PARENT = (
    Feature("parent.children_1h", "count", "comments under the same item in an hour", Count("children", "1h")),
    Feature("parent.children_24h", "count", "comments under the same item in 24 hours", Count("children", "24h")),
    Feature(
        "parent.accounts_24h", "count", "different accounts commenting there in 24 hours", Distinct("accounts", "24h")
    ),
    Feature("parent.reports_24h", "count", "reports under the same item in 24 hours", Count("reports", "24h")),
)

BUCKET = (
    Feature("bucket.items_24h", "count", "items with nearly the same text in 24 hours", Count("items", "24h")),
    Feature("bucket.items_7d", "count", "items with nearly the same text in 7 days", Count("items", "7d")),
    Feature(
        "bucket.accounts_24h", "count", "accounts with nearly the same text in 24 hours", Distinct("accounts", "24h")
    ),
    Feature("bucket.accounts_7d", "count", "accounts with nearly the same text in 7 days", Distinct("accounts", "7d")),
    Feature(
        "bucket.reports_7d", "count", "reports of items with nearly the same text in 7 days", Count("reports", "7d")
    ),
    Feature(
        "bucket.violations_90d",
        "count",
        "violations found in nearly the same text in 90 days",
        Count("violations", "90d"),
    ),
)

DEVICE = (
    Feature(
        "device.accounts_24h", "count", "accounts on the account's device in 24 hours", Distinct("accounts", "24h")
    ),
    Feature("device.accounts_7d", "count", "accounts on the account's device in 7 days", Distinct("accounts", "7d")),
    Feature("device.plays_24h", "count", "plays from the account's device in 24 hours", Count("plays", "24h")),
)

STORED: tuple[Feature, ...] = ITEM + ACCOUNT + PARENT + BUCKET + DEVICE

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

ALL: tuple[Feature | TextFeature, ...] = STORED + TEXT
BY_NAME: dict[str, Feature | TextFeature] = {feature.name: feature for feature in ALL}

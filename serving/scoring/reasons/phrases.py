"""What inputs of a model mean to reviewers: a code and a text for each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from features.declared.feature_set import Feature


class Phrase(NamedTuple):
    """A code, and the text for a value."""

    code: str
    text: Callable[[float], str]


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _amount(value: float) -> str:
    """
    >>> _amount(317.0), _amount(1234.56), _amount(0.004)
    ('317', '1,234.6', '0.004')
    """
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _count(singular: str, plural: str, where: str = "") -> Callable[[float], str]:
    def text(value: float) -> str:
        n = round(value)
        return f"{'no' if n == 0 else _number(n)} {singular if n == 1 else plural}{where and ' ' + where}"

    return text


def _percent(of: str) -> Callable[[float], str]:
    return lambda value: f"{value:.0%} of {of}"


def _age(template: str) -> Callable[[float], str]:
    def text(hours: float) -> str:
        if hours < 1:
            n, unit = max(1, round(hours * 60)), "minute"
        elif hours < 48:
            n, unit = round(hours), "hour"
        else:
            n, unit = round(hours / 24), "day"
        return template.format(f"{n:,} {unit}{'' if n == 1 else 's'}")

    return text


def _split(limit: float, below: str, above: str, text: Callable[[float], str]) -> Callable[[float], Phrase]:
    """Use code `below` for values less than `limit`, otherwise `above`."""
    return lambda value: Phrase(below if value < limit else above, text)


def _always(code: str, text: Callable[[float], str]) -> Callable[[float], Phrase]:
    return lambda _: Phrase(code, text)


def _ratio(of: str) -> Callable[[float], str]:
    return lambda value: f"{value:.1f} {of}"


_REPORTS = ("SIGNAL_REPORTS_FEW", "SIGNAL_REPORTS_SURGE")
_ACCOUNT_REPORTS = ("ACCOUNT_REPORTS_FEW", "ACCOUNT_REPORTS_SURGE")
_PACE = ("ACCOUNT_QUIET", "ACCOUNT_BUSY")
_PLAYS = ("ACCOUNT_PLAYS_FEW", "ACCOUNT_PLAYS_MANY")

_COPIES = ("TEXT_COPIES_FEW", "TEXT_COPIES_MANY")
_DEVICE = ("DEVICE_OF_ONE", "DEVICE_SHARED")
_DAY, _WEEK, _QUARTER = "in 24 h", "in 7 days", "in 90 days"


def phrase_of(feature: Feature | None) -> Callable[[float], Phrase] | None:
    """The phrase of a feature that has none of its own, from its unit and meaning; None if there is no feature.

    A number comes before a meaning that counts something or begins with the unit (317 minutes long), and after any
    other (share of log-ins that failed: 25%).
    """
    if feature is None:
        return None
    code, unit, meaning = feature.name.replace(".", "_").replace(":", "_").upper(), feature.unit, feature.meaning

    def text(value: float) -> str:
        match unit:
            case "count":
                return f"{_number(value)} {meaning}"
            case "flag":
                return meaning
            case "share":
                return f"{meaning}: {value:.0%}"
            case "hours":
                return _age(f"{meaning}: {{}}")(value)
            case "ratio" | "":
                return f"{meaning}: {_amount(value)}"
            case _ if meaning.startswith(f"{unit} "):
                return f"{_amount(value)} {meaning}"
            case _:
                return f"{meaning}: {_amount(value)} {unit}"

    return _always(code, text)


PHRASES: dict[str, Callable[[float], Phrase]] = {
    "item.age_h": _split(72, "ITEM_NEW", "ITEM_OLD", _age("first seen {} ago")),
    "item.versions": _split(2, "ITEM_UNEDITED", "ITEM_EDITED", _count("version sent", "versions sent")),
    "item.plays_1h": _split(1, "ITEM_UNPLAYED", "ITEM_PLAYED", _count("play", "plays", "in 1 h")),
    "item.plays_24h": _split(1, "ITEM_UNPLAYED", "ITEM_PLAYED", _count("play", "plays", _DAY)),
    "item.plays_7d": _split(1, "ITEM_UNPLAYED", "ITEM_PLAYED", _count("play", "plays", _WEEK)),
    "item.play_velocity": _split(
        2, "PLAYS_STEADY", "PLAYS_SURGE", _ratio("times the day's average plays per hour, in 1 h")
    ),
    "item.listeners_24h": _split(10, "LISTENERS_FEW", "LISTENERS_MANY", _count("listener", "listeners", _DAY)),
    "item.plays_per_listener_24h": _split(
        3, "LISTENED_ONCE", "LISTENED_ON_REPEAT", _ratio("plays per listener in 24 h")
    ),
    "item.short_share_24h": _always("PLAYS_CUT_SHORT", _percent("its plays in 24 h stop right after 30 seconds")),
    "item.reports_1h": _split(2, *_REPORTS, _count("report", "reports", "in 1 h")),
    "item.reports_24h": _split(3, *_REPORTS, _count("report", "reports", _DAY)),
    "item.reports_7d": _split(3, *_REPORTS, _count("report", "reports", _WEEK)),
    "item.reports_90d": _split(3, *_REPORTS, _count("report", "reports", _QUARTER)),
    "item.reporters_7d": _split(3, *_REPORTS, _count("account reported it", "accounts reported it", _WEEK)),
    "item.reliable_reports_7d": _split(
        2,
        "SIGNAL_REPORTS_FEW",
        "SIGNAL_REPORTS_RELIABLE",
        _ratio("reports in 7 days, weighted by the reporters' reliability"),
    ),
    "item.report_surge": _split(2, *_REPORTS, _ratio("times the previous 6 days' average daily reports, in 24 h")),
    "item.report_rate_24h": _split(1, *_REPORTS, _ratio("reports per hundred plays in 24 h")),
    "item.notices": _always("SIGNAL_TRUSTED_FLAGGER", _count("trusted-flagger notice", "trusted-flagger notices")),
    "item.hash_matches": _always("SIGNAL_HASH_MATCH", _count("match", "matches", "with known violating content")),
    "item.classifier_score": _always("SIGNAL_CLASSIFIER", lambda _: "a partner's classifier found a violation"),
    "account.age_h": _split(72, "ACCOUNT_NEW", "ACCOUNT_OLD", _age("the account is {} old")),
    "account.items_1h": _split(3, *_PACE, _count("item", "items", "by the account in 1 h")),
    "account.items_24h": _split(5, *_PACE, _count("item", "items", "by the account in 24 h")),
    "account.items_7d": _split(5, *_PACE, _count("item", "items", "by the account in 7 days")),
    "account.items_90d": _split(30, *_PACE, _count("item", "items", "by the account in 90 days")),
    "account.item_velocity": _split(2, *_PACE, _ratio("times the account's average items per hour, in 1 h")),
    "account.parents_24h": _split(5, *_PACE, _count("item", "different items", "commented on in 24 h")),
    "account.texts_7d": _split(
        2,
        "ACCOUNT_REPEATS_ITSELF",
        "ACCOUNT_VARIES_TEXTS",
        _count("different text", "different texts", "by the account in 7 days"),
    ),
    "account.items_per_text_7d": _split(
        2, "ACCOUNT_VARIES_TEXTS", "ACCOUNT_REPEATS_ITSELF", _ratio("items per different text by the account in 7 days")
    ),
    "account.link_share_7d": _always("ACCOUNT_LINKS", _percent("the account's items in 7 days contain a link")),
    "account.reports_24h": _split(3, *_ACCOUNT_REPORTS, _count("report", "reports", "of the account's items in 24 h")),
    "account.reports_7d": _split(3, *_ACCOUNT_REPORTS, _count("report", "reports", "of the account's items in 7 days")),
    "account.reports_90d": _split(
        3, *_ACCOUNT_REPORTS, _count("report", "reports", "of the account's items in 90 days")
    ),
    "account.reporters_7d": _split(
        3, *_ACCOUNT_REPORTS, _count("account reported", "accounts reported", "the account's items in 7 days")
    ),
    "account.notices_90d": _always(
        "ACCOUNT_NOTICES", _count("notice or match", "notices and matches", "about the account's items in 90 days")
    ),
    "account.strikes": _always("ACCOUNT_STRIKES", _count("earlier violation", "earlier violations", "by the account")),
    "account.strikes_90d": _always("ACCOUNT_STRIKES", _count("violation", "violations", "by the account in 90 days")),
    "account.cleared": _always(
        "ACCOUNT_CLEARED", _count("earlier decision", "earlier decisions", "found no violation by the account")
    ),
    "account.strike_share": _always("ACCOUNT_STRIKES", _percent("decisions about the account found a violation")),
    "account.plays_1h": _split(12, *_PLAYS, _count("play", "plays", "by the account in 1 h")),
    "account.plays_24h": _split(100, *_PLAYS, _count("play", "plays", "by the account in 24 h")),
    "account.plays_7d": _split(700, *_PLAYS, _count("play", "plays", "by the account in 7 days")),
    "account.plays_90d": _split(9_000, *_PLAYS, _count("play", "plays", "by the account in 90 days")),
    "account.tracks_24h": _split(
        10, "TRACKS_FEW", "TRACKS_MANY", _count("different track", "different tracks", "played by the account in 24 h")
    ),
    "account.track_entropy_7d": _split(
        2, "TRACKS_ON_REPEAT", "TRACKS_VARIED", _ratio("of at most 4 bits of variety in the account's plays in 7 days")
    ),
    "account.short_share_24h": _always(
        "PLAYS_CUT_SHORT", _percent("the account's plays in 24 h stop right after 30 seconds")
    ),
    "account.short_share_7d": _always(
        "PLAYS_CUT_SHORT", _percent("the account's plays in 7 days stop right after 30 seconds")
    ),
    "account.night_share_7d": _always(
        "PLAYS_AT_NIGHT", _percent("the account's plays in 7 days were between 00:00 and 06:00 UTC")
    ),
    "account.devices_7d": _split(
        3, "DEVICES_FEW", "DEVICES_MANY", _count("device", "devices", "used by the account in 7 days")
    ),
    "account.reports_made_7d": _always(
        "ACCOUNT_REPORTS_OTHERS", _count("report", "reports", "by the account in 7 days")
    ),
    "account.report_reliability": _split(
        0.5, "ACCOUNT_REPORTS_WRONGLY", "ACCOUNT_REPORTS_RIGHTLY", _percent("the account's own reports were correct")
    ),
    "parent.children_1h": _always("PARENT_COMMENTS", _count("comment", "comments", "under the same item in 1 h")),
    "parent.children_24h": _always("PARENT_COMMENTS", _count("comment", "comments", "under the same item in 24 h")),
    "parent.accounts_24h": _always(
        "PARENT_COMMENTS", _count("account commented", "accounts commented", "there in 24 h")
    ),
    "parent.reports_24h": _always("PARENT_REPORTS", _count("report", "reports", "under the same item in 24 h")),
    "bucket.items_24h": _split(2, *_COPIES, _count("item", "items", "with nearly the same text in 24 h")),
    "bucket.items_7d": _split(2, *_COPIES, _count("item", "items", "with nearly the same text in 7 days")),
    "bucket.accounts_24h": _split(2, *_COPIES, _count("account", "accounts", "with nearly the same text in 24 h")),
    "bucket.accounts_7d": _split(2, *_COPIES, _count("account", "accounts", "with nearly the same text in 7 days")),
    "bucket.reports_7d": _always(
        "TEXT_COPIES_REPORTED", _count("report", "reports", "of nearly the same text in 7 days")
    ),
    "bucket.violations_90d": _always(
        "TEXT_FOUND_VIOLATING", _count("violation", "violations", "found in nearly the same text in 90 days")
    ),
    "device.accounts_24h": _split(2, *_DEVICE, _count("account", "accounts", "on the account's device in 24 h")),
    "device.accounts_7d": _split(2, *_DEVICE, _count("account", "accounts", "on the account's device in 7 days")),
    "device.plays_24h": _split(200, *_DEVICE, _count("play", "plays", "from the account's device in 24 h")),
    "text.chars": _split(60, "TEXT_SHORT", "TEXT_LONG", _count("character", "characters", "of text")),
    "text.words": _split(10, "TEXT_SHORT", "TEXT_LONG", _count("word", "words", "of text")),
    "text.urls": _always("TEXT_LINKS", _count("link", "links", "in the text")),
    "text.upper_share": _always("TEXT_CAPITALS", _percent("the text is capital letters")),
    "text.digit_share": _always("TEXT_DIGITS", _percent("the text is digits")),
    "text.punctuation_share": _always("TEXT_PUNCTUATION", _percent("the text is punctuation")),
    "text.repeats": _always("TEXT_REPEATS", _count("run", "runs", "of a repeated character in the text")),
    # In words, because reviewers must not see the score.
    "text.score": _always(
        "TEXT_RESEMBLES_VIOLATIONS", lambda v: f"the wording is {'very ' if v > 2 else ''}similar to violating texts"
    ),
}

"""Reasons have stable codes and readable texts, and add up to the margin."""

from __future__ import annotations

import re

import numpy as np
import pytest

from features.declared.builtin import BUILTIN
from features.declared.compile import Declarations, compile_features
from features.text_features import TEXT
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclaration
from serving.scoring.reasons.explanation import MAX_REASONS, explain
from serving.scoring.reasons.phrases import PHRASES


def why(values: dict[str, float], weights: dict[str, float]) -> list[tuple[str, str]]:
    names = tuple(values)
    parts = np.array([*(weights.get(name, 0.0) for name in names), -2.0], dtype=np.float32)
    return [(x.code, x.text) for x in explain(names, np.array(list(values.values()), dtype=np.float32), parts).reasons]


def test_every_feature_has_a_phrase() -> None:
    assert {feature.name for feature in (*BUILTIN.defaults, *TEXT)} | {"text.score"} == set(PHRASES)


@pytest.mark.parametrize("name", sorted(PHRASES))
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0, 9.0, 5000.0])
def test_codes_are_stable_names_and_texts_hold_no_feature_name(name: str, value: float) -> None:
    telling = PHRASES[name](value)
    text = telling.text(value)
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)+", telling.code)
    assert name not in text
    assert "_" not in text


def test_reasons_carry_the_numbers_strongest_first() -> None:
    found = why(
        {"account.age_h": 5.0, "item.reports_24h": 9.0, "text.urls": 1.0, "account.strikes": 2.0},
        {"account.age_h": 0.5, "item.reports_24h": 2.0, "text.urls": 0.2, "account.strikes": -1.0},
    )
    assert found == [
        ("SIGNAL_REPORTS_SURGE", "9 reports in 24 h"),
        ("ACCOUNT_NEW", "the account is 5 hours old"),
        ("TEXT_LINKS", "1 link in the text"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("account.age_h", 14 * 24, None),
        ("account.age_h", 5, "the account is 5 hours old"),
        ("item.age_h", 100, None),
        ("item.versions", 1, None),
        ("item.versions", 2, "2 versions sent"),
        ("account.strikes", 0, None),
        ("account.strikes", 1, "1 earlier violation by the account"),
        ("account.cleared", 3, None),
        ("item.reports_24h", 0, None),
        ("item.reports_24h", 1, "1 report in 24 h"),
        ("text.urls", 0, None),
        ("text.upper_share", 0, None),
        ("item.classifier_score", 0.1, None),
        ("item.classifier_score", 0.9, "a partner's classifier found a violation"),
        ("device.accounts_7d", 1, None),
        ("account.texts_7d", 8, None),
        ("bucket.items_7d", 1, None),
        ("account.plays_7d", 0, "no plays by the account in 7 days"),
        ("account.report_reliability", 0, "0% of the account's own reports were correct"),
        ("account.report_reliability", 0.9, None),
    ],
)
def test_only_what_speaks_for_a_violation_is_a_reason(name: str, value: float, text: str | None) -> None:
    found = explain((name,), np.array([value], np.float32), np.array([1.5, -2.0], np.float32))
    assert [reason.text for reason in found.reasons] == ([] if text is None else [text])
    assert found.base + sum(x.weight for x in found.reasons) + found.rest == pytest.approx(found.margin)


@pytest.mark.parametrize("value", [0.4, 0.6, 1.0, 1.4])
@pytest.mark.parametrize("name", sorted(PHRASES))
def test_one_is_singular(name: str, value: float) -> None:
    text = PHRASES[name](value).text(value)
    assert not re.search(r"\b1 \w+s\b(?! has)", text), text


def test_inputs_with_the_same_code_become_one_reason() -> None:
    found = explain(
        ("item.reports_24h", "item.reports_7d"),
        np.array([9, 30], dtype=np.float32),
        np.array([0.4, 0.6, -1], dtype=np.float32),
    ).reasons
    assert [(x.code, x.text, x.weight) for x in found] == [("SIGNAL_REPORTS_SURGE", "30 reports in 7 days", 1.0)]


def test_missing_small_or_negative_contributions_give_no_reason() -> None:
    values = {"account.age_h": np.nan, "item.reports_24h": 9.0, "text.urls": 1.0}
    assert why(values, {"account.age_h": 3.0, "item.reports_24h": -1.0, "text.urls": 0.01}) == []


def test_base_reasons_and_rest_add_up_to_the_margin() -> None:
    names = ("item.reports_24h", "account.strikes", "text.urls", "account.age_h")
    values = np.array([9, 0, 1, np.nan], dtype=np.float32)
    found = explain(names, values, np.array([2.0, -0.7, 0.1, 0.3, -3.0], dtype=np.float32), -1.3)
    assert [x.code for x in found.reasons] == ["SIGNAL_REPORTS_SURGE"]
    assert (found.margin, found.base) == (-1.3, -3.0)
    assert found.base + sum(x.weight for x in found.reasons) + found.rest == pytest.approx(found.margin)
    assert found.rest == pytest.approx(-0.7 + 0.1 + 0.3)


def test_the_number_of_reasons_is_limited() -> None:
    assert len(why({name: 50.0 for name in PHRASES}, {name: 1.0 for name in PHRASES})) == MAX_REASONS


def test_a_text_reason_holds_no_number() -> None:
    for value in (-3.0, 0.0, 1.9, 2.5, 9.0):
        assert not re.search(r"\d", PHRASES["text.score"](value).text(value))


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.0, "1 minute"),
        (0.5, "30 minutes"),
        (1.2, "1 hour"),
        (47.0, "47 hours"),
        (48.0, "2 days"),
        (30_000.0, "1,250 days"),
    ],
)
def test_the_age_of_a_subject_fits_items_and_accounts(hours: float, text: str) -> None:
    assert PHRASES["item.age_h"](hours).text(hours) == f"first seen {text} ago"


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("count", 12.0, "12 follows in 7 days"),
        ("flag", 1.0, "follows in 7 days"),
        ("share", 0.25, "follows in 7 days: 25%"),
        ("hours", 50.0, "follows in 7 days: 2 days"),
        ("ratio", 3.14, "follows in 7 days: 3.1"),
        ("ratio", 3.0, "follows in 7 days: 3"),
        ("ratio", 0.0125, "follows in 7 days: 0.013"),
        ("euros", 1234.5, "follows in 7 days: 1,234.5 euros"),
        ("follows", 317.0, "317 follows in 7 days"),
    ],
)
def test_a_declared_feature_is_worded_by_its_unit_and_meaning(unit: str, value: float, text: str) -> None:
    one = {
        "account.follows_7d": FeatureDeclaration(count="follow", window="7d", unit=unit, meaning="follows in 7 days")
    }
    features = compile_features(Declarations({**BUILT_IN_FEATURES, **one}, {}, {}), 3)
    found = explain(
        ("account.follows_7d",), np.array([value], np.float32), np.array([1.5, -2.0], np.float32), features=features
    )
    assert [(reason.code, reason.text) for reason in found.reasons] == [("ACCOUNT_FOLLOWS_7D", text)]

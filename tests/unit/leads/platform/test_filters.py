"""Filters: what they mean, what they can compare, and how they are written."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.platform.fields import Kind
from leads.platform.filters import MAX_CHARS, check, negated, parse, predicate, written
from tests.support.features.declared.random_platform import condition
from tests.support.features.declared.written import passes

KINDS: dict[str, Kind] = {
    "amount": "number",
    "good": "flag",
    "currency": "category",
    "language": "language",
    "site": "url",
    "note": "text",
    "due": "time",
}
EVENT = {"amount": 30.0, "good": True, "currency": "usd"}


@pytest.mark.parametrize(
    ("where", "counted"),
    [
        ("amount >= 30", True),
        ("amount > 30", False),
        ("30 <= amount < 36", True),
        ("40 > amount", True),
        ("amount != 30", False),
        ("amount in [1, 30.0]", True),
        ("amount == -3", False),
        ('currency == "usd"', True),
        ('"usd" != currency', False),
        ('currency not in ("eur", "gbp")', True),
        ("good", True),
        ("not good", False),
        ("good == True and amount < 31", True),
        ("good == False or amount > 31", False),
        ("not (good and amount > 31)", True),
    ],
)
def test_a_filter_is_true_for_events_that_pass(where: str, counted: bool) -> None:
    assert predicate(parse(where))(EVENT) is counted
    assert predicate(negated(parse(where)))(EVENT) is not counted


@pytest.mark.parametrize("where", ["good", "amount > 0", "amount != 5", 'currency not in ["usd"]', "not not good"])
@pytest.mark.parametrize("event", [{}, dict.fromkeys(EVENT)])
def test_a_comparison_with_a_field_that_is_not_there_is_false(where: str, event: dict[str, Any]) -> None:
    assert not predicate(parse(where))(event)
    assert predicate(parse(f"not ({where})"))(event)


def test_a_value_from_before_the_field_was_a_number_is_not_counted() -> None:
    assert not predicate(parse("amount > 1"))({"amount": "12"})


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("amount >", "isn't a filter"),
        ("", "isn't a filter"),
        ("amount + 1 > 2", "a comparison has a field on one side"),
        ("1 < 2", "a comparison has a field on one side"),
        ("amount is 1", "a comparison has a field on one side"),
        ("len(amount)", "can't be in a filter"),
        ("amount if good else 1", "can't be in a filter"),
        ("tip.amount", "can't be in a filter"),
        ("currency == usd", 'put a text in quotes: currency == "usd"'),
        ("currency in usd", "put a text in quotes"),
        ("currency in []", "list values in brackets"),
        ('currency in "usd"', "list values in brackets"),
        ("amount == None", "isn't a number, a text in quotes, True or False"),
        ("amount == [1]", "isn't a number, a text in quotes, True or False"),
        ("amount == {[]}", "isn't a number, a text in quotes, True or False"),
        ("good and " * 60 + "good", f"use at most {MAX_CHARS}"),
    ],
)
def test_what_is_not_a_filter_is_refused(where: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(where)
    assert message in str(caught.value)


@pytest.mark.parametrize("where", ["(" * 240 + "good" + ")" * 240, "not " * 120 + "good"])
def test_deep_filters_are_parsed_or_refused(where: str) -> None:
    with suppress(ValueError):
        assert predicate(parse(where))(EVENT)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("missing > 1", "the event has no field missing; its fields: amount, good"),
        ("good and (amount > 1 or not missing)", "the event has no field missing"),
        ("amount", "amount is a number, not a flag; compare it with a value"),
        ("currency", "currency is a category, not a flag"),
        ('amount == "30"', "amount is a number, and '30' isn't"),
        ("amount == True", "amount is a number, and True isn't"),
        ("good == 1", "good is a flag, and 1 isn't"),
        ("currency == 3", "currency is a category, and 3 isn't"),
        ('currency in ["usd", 3]', "currency is a category, and 3 isn't"),
        ('currency > "usd"', "currency is a category, so it has no order"),
        ("good < True", "good is a flag, so it has no order"),
        ('site == "https://x.io"', "site is a url, which filters can't compare"),
        ('note == "x"', "note is a text, which filters can't compare"),
        ("due > 5", "due is a time, which filters can't compare"),
    ],
)
def test_fields_are_compared_with_what_they_hold(where: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check(parse(where), KINDS)
    assert message in str(caught.value)


@pytest.mark.parametrize("where", ["amount in [1, 2.5]", 'language == "pt-BR"', "good != True", "not good"])
def test_what_fields_hold_can_be_compared(where: str) -> None:
    check(parse(where), KINDS)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    amount=st.sampled_from([None, 0, 1.0, 2.5, 30, -3.0, 100.0]),
    good=st.sampled_from([None, True, False]),
    currency=st.sampled_from([None, "usd", "eur", "1.1", "2.2"]),
)
def test_random_filters_mean_what_is_written(
    seed: int, amount: float | None, good: bool | None, currency: str | None
) -> None:
    fields = {"amount": "number", "good": "flag", "currency": "category"}
    text = condition(random.Random(seed), fields, seed % 4)
    event = {"amount": amount, "good": good, "currency": currency}
    part = parse(text)
    assert predicate(part)(event) is passes(text, event)
    assert parse(written(part)) == part
    assert written(parse(written(part))) == written(part)

"""Formulas of features: what can be written, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest

from leads.platform.expressions import MAX_CHARS, Apply, Number, Ref, features_in, parse

A, B = Ref("item.a"), Ref("account.b")


def test_operators_have_their_usual_order() -> None:
    assert parse("item.a + 2 * account.b") == Apply("+", (A, Apply("*", (Number(2.0), B))))
    assert parse("(item.a - 2) / account.b") == Apply("/", (Apply("-", (A, Number(2.0))), B))
    assert parse("-item.a") == Apply("-", (Number(0.0), A))


def test_functions_have_their_number_of_values() -> None:
    assert parse("min(item.a, log1p(account.b))") == Apply("min", (A, Apply("log1p", (B,))))
    assert parse(" abs(item.a) ") == Apply("abs", (A,))


def test_features_are_named_as_often_as_they_are_written() -> None:
    assert list(features_in(parse("item.a / (item.a + account.b) + 1"))) == ["item.a", "item.a", "account.b"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "isn't a formula"),
        ("item.a +", "isn't a formula"),
        ("item", "'item' can't be in a formula"),
        ("item.a.b", "'item.a.b' can't be in a formula"),
        ("item.a ** 2", "can't be in a formula"),
        ("item.a > 2", "can't be in a formula"),
        ("item.a if 1 else 2", "can't be in a formula"),
        ("+item.a", "can't be in a formula"),
        ("item.a + True", "'True' can't be in a formula"),
        ("item.a + 'x'", "can't be in a formula"),
        ("item.a + 1j", "can't be in a formula"),
        ("sqrt(item.a)", "can't be in a formula"),
        ("min(item.a)", "can't be in a formula"),
        ("log1p(item.a, 2)", "can't be in a formula"),
        ("max(item.a, key=2)", "can't be in a formula"),
        ("item.a + 1e400", "a number in a formula is at most 1e+18"),
        ("item.a + " + "9" * 400, "a number in a formula is at most 1e+18"),
        ("item.a + " * 60 + "1", f"use at most {MAX_CHARS}"),
    ],
)
def test_what_is_not_a_formula_is_refused(formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(formula)
    assert message in str(caught.value)


@pytest.mark.parametrize("formula", ["(" * 240 + "item.a" + ")" * 240, "-" * 480 + "item.a", "item.a" + "+1" * 240])
def test_deep_formulas_are_parsed_or_refused(formula: str) -> None:
    with suppress(ValueError):
        assert list(features_in(parse(formula))) == ["item.a"]

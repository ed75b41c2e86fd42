"""The normal form, by which texts are compared."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from leads.text import normal_form, text_hash

texts = st.text(max_size=40)


@given(texts)
@example("ΐ")
@example("İstanbul")
@example("ﷺ")
@example("a\u0345\u0301")
@example("\u200b\ufeff")
def test_the_normal_form_is_idempotent(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)


@given(texts)
def test_case_space_and_invisible_characters_are_ignored(text: str) -> None:
    spaced = "\u200b" + text.replace(" ", " \t\n\u00a0 ") + " "
    assert text_hash(spaced) == text_hash(text)


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_case_is_ignored(text: str) -> None:
    assert text_hash(text.upper()) == text_hash(text.lower())


@given(texts)
def test_a_hash_is_64_bits(text: str) -> None:
    assert 0 <= text_hash(text) < 2**64


def test_different_words_differ() -> None:
    assert len({text_hash(t) for t in ("free money", "freemoney", "free  monye", "", "money free")}) == 5


def test_a_lone_surrogate_can_be_hashed() -> None:
    assert text_hash("\ud83d") == text_hash("\ud83d ")

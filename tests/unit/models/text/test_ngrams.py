from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from leads.text import plain_form
from models.text.ngrams import MAX_CHARS, Grams, grams

TEXTS = st.lists(st.text(max_size=80), max_size=8)


def occurrences(found: Grams, row: int) -> list[int]:
    return sorted(found.hashes[found.rows == row].tolist())


@given(TEXTS)
def test_a_texts_grams_do_not_depend_on_the_others(texts: list[str]) -> None:
    together = grams(texts)
    for row, text in enumerate(texts):
        for many, alone in zip(together, grams([text]), strict=True):
            assert occurrences(many, row) == sorted(alone.hashes.tolist())


@given(st.text(max_size=200))
def test_grams_are_scikit_learns(text: str) -> None:
    """As many occurrences and as many distinct grams as its analyzers find in the plain form."""
    normal = plain_form(text)
    chars = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()(normal)
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"[^\W]+").build_analyzer()(normal)
    found = grams([text])
    assert len(found.chars.hashes) == len(chars)
    assert len(np.unique(found.chars.hashes)) == len(set(chars))
    # A letter may be a word character to one of `re` and `str.isalnum` only, as combining marks and some digits are.
    if normal.isascii():
        assert len(found.words.hashes) == len(words)
        assert len(np.unique(found.words.hashes)) == len(set(words))


@given(st.text(max_size=80))
def test_texts_with_one_plain_form_have_equal_grams(text: str) -> None:
    for one, other in zip(grams([text]), grams([f"  {plain_form(text)}\u200b\n"]), strict=True):
        assert np.array_equal(one.hashes, other.hashes)


def test_words_and_characters_never_share_a_gram() -> None:
    found = grams(["ab ab ab a b c aa bb"])
    assert not set(found.words.hashes.tolist()) & set(found.chars.hashes.tolist())


def test_the_order_of_words_counts() -> None:
    one, other = (set(grams([text]).words.hashes.tolist()) for text in ("you love", "love you"))
    assert len(one & other) == 2
    assert len(one ^ other) == 2


def test_a_long_batch_in_pieces_equals_its_texts() -> None:
    texts = ["word " * 900] * 120 + ["end"]
    found = grams(texts)
    assert occurrences(found.words, 120) == occurrences(grams(["end"]).words, 0)
    assert occurrences(found.chars, 119) == occurrences(grams(texts[:1]).chars, 0)


def test_only_the_beginning_of_an_endless_text_counts() -> None:
    text = "ab " * MAX_CHARS
    assert np.array_equal(grams([text]).chars.hashes, grams([text[:MAX_CHARS]]).chars.hashes)


def test_filler_before_a_text_does_not_hide_it() -> None:
    for filler in ("\u2067" * MAX_CHARS, " " * MAX_CHARS, "\u2800\u3164" * MAX_CHARS):
        assert np.array_equal(grams([f"{filler}free money"]).words.hashes, grams(["free money"]).words.hashes)


def test_nothing_gives_nothing() -> None:
    for texts in ([], ["", " ", "\u200b"]):
        for found in grams(texts):
            assert len(found.hashes) == len(found.rows) == 0

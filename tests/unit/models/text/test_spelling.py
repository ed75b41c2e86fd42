"""Misspelt words are read as words of the vocabulary; everything else stays as it is."""

from __future__ import annotations

import pytest

from models.text.spelling import Spelling

SPELLING = Spelling(["the", "wonderful", "beautiful", "channel", "trial", "trail", "good", "sam", "##nel", "mp", "42"])


@pytest.mark.parametrize(
    ("plain", "repaired"),
    [
        ("wondeerful wwonderfull", "wonderful wonderful"),
        ("beatuiful, chnanel!", "beautiful, channel!"),
        ("7h3 9th", "the 9th"),
        # Known as they are; too short; an exchange of the first letter; not in the vocabulary either way.
        ("good trial trail", "good trial trail"),
        ("hte teh", "hte teh"),
        ("ehcannel", "ehcannel"),
        ("spotify 42 43 mp3 5am", "spotify 42 43 mp3 5am"),
        # Both exchanges give a word, so neither is taken.
        ("triaal", "trial"),
        ("", ""),
        ("прекрасно 歌", "прекрасно 歌"),
    ],
)
def test_only_unknown_words_are_changed_and_only_to_known_ones(plain: str, repaired: str) -> None:
    assert SPELLING.repaired(plain) == repaired


def test_if_two_exchanges_give_a_word_neither_is_taken() -> None:
    assert Spelling(["abdce", "abced"]).repaired("abcde") == "abcde"
    assert Spelling(["abdce"]).repaired("abcde") == "abdce"


def test_words_that_no_vocabulary_has_are_left_alone() -> None:
    assert SPELLING.repaired("a" * 5_000) == "a" * 5_000

"""Misspelt words are read as words of the vocabulary; everything else stays as it is."""

from __future__ import annotations

import pytest

from models.text.sentence import PACKAGE, installed
from models.text.spelling import RepairedTokens, Spelling

WORDS = ["wonderful", "beautiful", "channel", "needles", "sounds", "good", "niger", "sober", "the", "##nel", "42"]
SPELLING = Spelling(WORDS, len)


@pytest.mark.parametrize(
    ("plain", "repaired"),
    [
        ("wondeerful wwonderfull", "wonderful wonderful"),
        ("beatuiful, chnanel!", "beautiful, channel!"),
        ("50und5 s0und5", "sounds sounds"),
        # Too short, numbers and names, another first letter, not in the vocabulary either way.
        ("gooood sobre 7h3 42 43 mp3 5am 15s @50und5", "gooood sobre 7h3 42 43 mp3 5am 15s @50und5"),
        ("hcannel spotify needless2", "hcannel spotify needless2"),
        ("", ""),
        ("прекрасно 歌", "прекрасно 歌"),
        ("a" * 5_000, "a" * 5_000),
    ],
)
def test_only_unknown_words_are_changed_and_only_to_known_ones(plain: str, repaired: str) -> None:
    assert SPELLING.repaired(plain) == repaired


def test_if_two_exchanges_give_a_word_neither_is_taken() -> None:
    assert Spelling(["abdcefg", "abcedfg"], len).repaired("abcdefg") == "abcdefg"
    assert Spelling(["abdcefg"], len).repaired("abcdefg") == "abdcefg"


def test_a_word_of_two_pieces_is_left_alone() -> None:
    assert Spelling(WORDS, lambda word: 2).repaired("needless") == "needless"
    assert Spelling(WORDS, lambda word: 3).repaired("needless") == "needles"


def test_real_words_and_slurs_are_read_as_they_are() -> None:
    pytest.importorskip(PACKAGE, reason="the sentence encoder is not installed: make encoder")
    tokens = RepairedTokens((installed() / "tokenizer.json").read_bytes(), 96)
    for one, other in (
        ("nigger", "niger"), ("noose", "nose"), ("needless", "needles"), ("scrapping", "scraping"),
        ("untied", "united"), ("rapped", "raped"), ("hatte", "hate"), ("poisson", "poison"), ("sobre", "sober"),
        ("ww3", "wwe"), ("m14", "mia"), ("45s", "ass"), ("@s0unds", "@sounds"), ("season5", "seasons"),
    ):  # fmt: skip
        assert tokens.of([f"the {one} was there"]) != tokens.of([f"the {other} was there"]), one
    assert tokens.of(["a beatuiful recroding"]) == tokens.of(["a beautiful recording"])
    # A lone surrogate is no reason to fail.
    assert len(tokens.of(["\ud83d hi"])[0]) > 2

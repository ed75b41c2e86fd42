"""Repairs misspelt words by a vocabulary, so that an encoder reads the word and not pieces that mean nothing.

Only a word that the vocabulary lacks is changed, and only to one that it has. Look-alike characters and most digits for
letters are undone in the plain form already (`leads.text.plain_form`), which needs no vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from leads.text import letters_for_signs
from models.text.minilm import read_tokenizer

_WORD = re.compile(r"[^\W_]+")
# What the plain form keeps of one digit before letters, like 5am.
_MEASURE = re.compile(r"\d[a-z]+|\d+")
_DOUBLED = re.compile(r"([a-z])\1")
# Shorter words have too many neighbours; longer ones aren't in a vocabulary, and would take long.
_SHORTEST, _SHORTEST_EXCHANGED, _LONGEST = 3, 5, 30
_MOST_DOUBLED = 3


class Spelling:
    """Repairs by the whole words among `tokens`; pieces of words, which begin with ##, don't count."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._known = frozenset(tokens)
        self._words = frozenset(token for token in self._known if len(token) >= _SHORTEST and token.isalpha())

    def repaired(self, plain: str) -> str:
        """A plain form with its unknown words replaced, where one of these gives a word of the vocabulary: letters for
        digits; a doubled letter only once; two neighbouring letters exchanged, if only one exchange gives a word.

        >>> Spelling(["the", "wonderful", "beautiful"]).repaired("7h3 wondeerful, beatuiful mp3")
        'the wonderful, beautiful mp3'
        """
        return _WORD.sub(self._repaired, plain)

    def _repaired(self, found: re.Match[str]) -> str:
        word = found.group()
        if word in self._known or not _SHORTEST <= len(word) <= _LONGEST or not word.isascii():
            return word
        if not word.isalpha():
            letters = letters_for_signs(word)
            return letters if letters in self._words and not _MEASURE.fullmatch(word) else word
        for once in _doubled_once(word):
            if once in self._words:
                return once
        if len(word) >= _SHORTEST_EXCHANGED:
            exchanged = {one for one in _exchanged(word) if one in self._words}
            if len(exchanged) == 1:
                return exchanged.pop()
        return word


def _doubled_once(word: str) -> Iterator[str]:
    """The word with some of its doubled letters once, fewest changes first."""
    places = [pair.start() for pair in _DOUBLED.finditer(word)][:_MOST_DOUBLED]
    for n in range(1, len(places) + 1):
        for chosen in combinations(places, n):
            yield "".join(letter for i, letter in enumerate(word) if i not in chosen)


def _exchanged(word: str) -> Iterator[str]:
    """The word with two neighbours exchanged. The first letter is seldom wrong."""
    for i in range(1, len(word) - 1):
        if word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


class RepairedTokens:
    """The tokens of texts whose words are repaired first, by the tokenizer in the bytes of a `tokenizer.json`.

    Raises:
        ConfigurationError: the package that reads it isn't installed.
    """

    def __init__(self, raw: bytes, max_tokens: int) -> None:
        self._tokenizer = read_tokenizer(raw, max_tokens)
        self._spelling = Spelling(self._tokenizer.get_vocab())

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text in plain form."""
        repaired = [self._spelling.repaired(text) for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(repaired)]

"""Repairs misspelt words by a vocabulary, so that an encoder reads the word and not pieces that mean nothing.

Only a word that the vocabulary lacks is changed, and only to one that it has. A vocabulary lacks many words that people
use, and a slur may be one letter away from a country, so short words and those of two pieces are left alone. Look-alike
characters and most digits for letters are undone in the plain form already (`leads.text.plain_form`), which needs no
vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

from leads.text import letters_for_signs
from models.text.minilm import read_tokenizer

_WORD = re.compile(r"(?<![\w@])[^\W_]+")
_DOUBLED = re.compile(r"([a-z])\1")
_MOST_DOUBLED = 3
# Shorter words have too many neighbours; longer ones aren't in a vocabulary, and would take long.
_SHORTEST, _LONGEST = 7, 30
# A word that the tokenizer divides into fewer pieces than this is likely one that people use, such as "need ##less".
_PIECES = 3
# Digits for letters, unless they can be a number or a name: between letters, or at both ends of three letters or more.
_SHORTEST_WITH_DIGITS = 4
_WITH_DIGITS = re.compile(r"[a-z]+\d+[a-z]+[a-z\d]*|\d+[a-z]{3,}\d+")


class Spelling:
    """Repairs by the whole words of a vocabulary.

    Args:
        vocabulary: pieces of words, which begin with ##, don't count.
        pieces: the number of pieces that the tokenizer divides a word into.
    """

    def __init__(self, vocabulary: Iterable[str], pieces: Callable[[str], int]) -> None:
        self._known = frozenset(vocabulary)
        self._pieces = pieces

    def repaired(self, plain: str) -> str:
        """A plain form with words replaced that the vocabulary lacks, where one of these gives a word that it has:
        letters for digits; a doubled letter only once; two neighbouring letters exchanged, if only one exchange gives
        a word.

        >>> Spelling(["wonderful", "beautiful"], len).repaired("wondeerful, beatuiful")
        'wonderful, beautiful'
        """
        return _WORD.sub(self._repaired, plain)

    def _repaired(self, found: re.Match[str]) -> str:
        word = found.group()
        if word in self._known or len(word) > _LONGEST or not word.isascii():
            return word
        if not word.isalpha():
            letters = letters_for_signs(word)
            is_one = len(word) >= _SHORTEST_WITH_DIGITS and _WITH_DIGITS.fullmatch(word) and letters.isalpha()
            return letters if is_one and letters in self._known else word
        if len(word) < _SHORTEST:
            return word
        repaired = next((once for once in _doubled_once(word) if once in self._known), None)
        if repaired is None:
            exchanged = {one for one in _exchanged(word) if one in self._known}
            repaired = exchanged.pop() if len(exchanged) == 1 else None
        return word if repaired is None or self._pieces(word) < _PIECES else repaired


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
        self._spelling = Spelling(self._tokenizer.get_vocab(), self._pieces)

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text in plain form."""
        # The tokenizer refuses lone surrogates.
        repaired = [self._spelling.repaired(text).encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(repaired)]

    def _pieces(self, word: str) -> int:
        return len(self._tokenizer.encode(word, add_special_tokens=False).ids)

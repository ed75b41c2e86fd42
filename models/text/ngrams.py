"""Word 1–2-grams and character 2–5-grams of texts as 64-bit hashes. Training and serving share this code.

An n-gram is identified by its hash, so a model contains no piece of its training texts. The probability that one of m
unknown n-grams collides with one of n known ones is about n·m / 2⁶⁴: 10⁻⁷ for n = 10⁵ and m = 10⁷.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.text import plain_form

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

CHAR_SIZES = (2, 3, 4, 5)
# Of longer normal forms only the beginning is read, which bounds the cost of a single text.
MAX_CHARS = 5_000
_CHUNK_CHARS = 100_000
_SPACE = ord(" ")
_FACTOR = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)
_MIX = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
_WORD_TAG, _PAIR_TAG = (np.array([tag], dtype=np.uint64) for tag in (0x57, 0x5757))


class Grams(NamedTuple):
    """Every occurrence of an n-gram: the position of its text (`rows`) and its hash (`hashes`), (occurrences,) each."""

    rows: Rows
    hashes: Hashes


class TextGrams(NamedTuple):
    """The two families of n-grams, which are weighted and normalised separately."""

    words: Grams
    chars: Grams


def grams(texts: Sequence[str]) -> TextGrams:
    """The n-grams of texts, in the order of the texts.

    Character n-grams lie within one token (delimited by white space), padded with a space on either side. Words are
    runs of letters, digits and underscores.
    """
    parts = [_grams(chunk, start) for start, chunk in _chunks(texts)]
    return TextGrams(
        Grams(np.concatenate([p.words.rows for p in parts]), np.concatenate([p.words.hashes for p in parts])),
        Grams(np.concatenate([p.chars.rows for p in parts]), np.concatenate([p.chars.hashes for p in parts])),
    )


def grams_in_parts(texts: Sequence[str]) -> Iterator[tuple[slice, TextGrams]]:
    """`grams` of some texts at a time, so that memory doesn't grow with the number of texts.

    Yields which texts they are, and their n-grams, whose `rows` start at 0 in each part.
    """
    for start, chunk in _chunks(texts):
        yield slice(start, start + len(chunk)), _grams(chunk, 0)


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection in which every bit affects all others."""
    values = values + _FACTOR
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The texts' plain forms in chunks, to bound memory, each with the position of its first text."""
    start, size = 0, 0
    chunk: list[str] = []
    for i, text in enumerate(texts):
        normal = plain_form(text, MAX_CHARS)
        if size > _CHUNK_CHARS:
            yield start, chunk
            start, size, chunk = i, 0, []
        chunk.append(normal)
        size += len(normal)
    yield start, chunk


def _grams(normals: list[str], first_row: int) -> TextGrams:
    # One space between texts is enough: no n-gram has a space inside, so none spans two texts.
    joined = " " + " ".join(normals) + " "
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.fromiter((len(n) + 1 for n in normals), dtype=np.int64, count=len(normals))
    rows = np.repeat(np.arange(first_row, first_row + len(normals)), lengths)
    # The leading space belongs to the first text.
    rows = np.concatenate((rows[:1], rows)) if len(rows) else np.zeros(len(codes), dtype=np.int64)
    mixed = mix(codes.astype(np.uint64))
    return TextGrams(_words(codes, mixed, rows), _chars(codes, mixed, rows))


def _chars(codes: npt.NDArray[np.uint32], mixed: Hashes, rows: Rows) -> Grams:
    space = codes == _SPACE
    # Only the first and last character of an n-gram may be a space. Runs of spaces come from empty texts.
    valid = ~(space[:-1] & space[1:])
    hashes = mixed
    found_rows, found_hashes = [], []
    row_of = np.where(space[:-1], rows[1:], rows[:-1])
    for size in CHAR_SIZES:
        n = len(codes) - size + 1
        if n <= 0:
            break
        hashes = hashes[:n] * _FACTOR + mixed[size - 1 :]
        if size > 2:
            valid = valid[:n] & ~space[size - 2 : size - 2 + n] & ~(space[size - 2 : size - 2 + n] & space[size - 1 :])
        at = np.flatnonzero(valid)
        found_rows.append(row_of[at])
        found_hashes.append(mix(hashes[at] + np.uint64(size)))
    return Grams(np.concatenate(found_rows), np.concatenate(found_hashes))


def _words(codes: npt.NDArray[np.uint32], mixed: Hashes, rows: Rows) -> Grams:
    in_word = _is_word(codes)
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    # The joined text begins and ends with a space, so edges come in pairs: the start and end of a word.
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return Grams(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64))
    lengths = ends - starts
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    letters = mixed[in_word] * _powers(int(lengths.max()))[place]
    words = mix(np.add.reduceat(letters, np.cumsum(lengths) - lengths) + _WORD_TAG)
    word_rows = rows[starts]
    same = word_rows[1:] == word_rows[:-1]
    pairs = mix(words[:-1] * _FACTOR + words[1:] + _PAIR_TAG)[same]
    return Grams(np.concatenate((word_rows, word_rows[1:][same])), np.concatenate((words, pairs)))


def _is_word(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    distinct, inverse = np.unique(codes, return_inverse=True)
    kinds = np.fromiter(
        ((char := chr(code)).isalnum() or char == "_" for code in distinct.tolist()),
        dtype=np.bool_,
        count=len(distinct),
    )
    return kinds[inverse]


def _powers(n: int) -> Hashes:
    return np.concatenate((np.ones(1, dtype=np.uint64), np.multiply.accumulate(np.repeat(_FACTOR, n))))

"""Detects near-copies of texts: two bucket keys per text, computed by min-hashing.

Before hashing, `strip_variations` removes what spammers vary at no cost: invisible characters, case, width and accents,
digits, punctuation, link targets, repeated letters. The byte 5-grams are min-hashed four times (Broder 1997); each pair
of minima is one key. Texts whose 5-grams have Jaccard similarity J share a key with probability 1 - (1 - J²)²: .96 at
J = .9, .45 at J = .5, .02 at J = .1.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import numpy.typing as npt

from leads.text import normalized, visible

_GRAM = 5
_MIN_BYTES, _MAX_BYTES = 12, 2_000
# Decomposed, a text can be 18 times as long.
_MAX_CHARS = 20_000
_LINK = re.compile(r"(?:https?://|www\.)\S*")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_REPEATED = re.compile(r"(.)\1{2,}")
_MASK = np.uint64((1 << 8 * _GRAM) - 1)
_SEEDS = np.array([[0x9E3779B97F4A7C15], [0xC2B2AE3D27D4EB4F], [0x165667B19E3779F9], [0x27D4EB2F165667C5]], np.uint64)
_MIXERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(33)

Buckets = tuple[str | None, str | None]


def strip_variations(text: str) -> str:
    """The text reduced to lower-case words, without the variations that spammers use.

    >>> strip_variations("  BUY n0w!!! https://x.io/abc123 soooo cheap")
    'buy n w link so cheap'
    """
    plain = normalized("NFKD", visible(text)).casefold()[:_MAX_CHARS]
    plain = "".join(c for c in plain if not unicodedata.combining(c)) if not plain.isascii() else plain
    plain = _LINK.sub(" link ", plain)
    return _REPEATED.sub(r"\1", _NO_LETTERS.sub(" ", plain)).strip()


def buckets(text: str) -> Buckets:
    """The text's two bucket keys; (None, None) for texts so short that they may match by chance."""
    raw = strip_variations(text).replace(" ", "").encode()[:_MAX_BYTES]
    if len(raw) < _MIN_BYTES:
        return None, None
    minima = _minima(raw)
    return f"0:{minima[0]:016x}{minima[1]:016x}", f"1:{minima[2]:016x}{minima[3]:016x}"


def _minima(raw: bytes) -> list[int]:
    """The smallest hash of the 5-grams under each of four seeds (Murmur3's 64-bit finaliser)."""
    count = len(raw) - _GRAM + 1
    # Eight bytes from each place on; the first five are the gram.
    windows: npt.NDArray[np.uint64] = np.ndarray(count, "<u8", raw + bytes(8 - _GRAM), strides=(1,))
    grams = windows & _MASK
    mixed = grams[None, :] + _SEEDS
    for mixer in _MIXERS:
        mixed ^= mixed >> _SHIFT
        mixed *= mixer
    mixed ^= mixed >> _SHIFT
    smallest: list[int] = mixed.min(axis=1).tolist()
    return smallest

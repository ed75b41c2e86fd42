"""The text stage: a linear model over TF-IDF n-grams, read and evaluated with numpy alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused
from models.ngrams import Grams, Hashes, grams

Floats = npt.NDArray[np.float32]
_BLOCKS = ("words", "chars")


class Block(NamedTuple):
    """One family of grams: `hashes` ascending, its inverse document frequencies and its weights, each (grams,)."""

    hashes: Hashes
    idf: Floats
    weights: Floats


class TextStage:
    """Log-odds of a text. Each block's TF-IDF vector (1 + ln tf, times idf) has length one, as when it was fitted."""

    def __init__(self, words: Block, chars: Block, intercept: float) -> None:
        self.words = words
        self.chars = chars
        self.intercept = intercept

    def log_odds(self, texts: Sequence[str | None]) -> Floats:
        """(n,) float32; NaN where there is no text or nothing in it."""
        found = grams([text or "" for text in texts])
        n = len(texts)
        sums = _dot(self.words, found.words, n) + _dot(self.chars, found.chars, n)
        # Whatever is left of a text in its normal form has character grams.
        present = np.bincount(found.chars.rows, minlength=n) > 0
        out = np.full(n, np.nan, dtype=np.float32)
        out[present] = sums[present] + self.intercept
        return out

    def to_bytes(self) -> bytes:
        """NumPy's npz, without pickle: equal stages give equal bytes."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"intercept": np.array([self.intercept], dtype=np.float64)}
        for name, block in zip(_BLOCKS, (self.words, self.chars), strict=True):
            arrays |= {f"{name}.{part}": values for part, values in block._asdict().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(raw: bytes) -> TextStage:
        """Raises ModelRefused when the bytes hold no text stage."""
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                words, chars = (Block(*(arrays[f"{name}.{part}"] for part in Block._fields)) for name in _BLOCKS)
                return TextStage(words, chars, float(arrays["intercept"][0]))
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ModelRefused(f"text.npz is not a text stage: {error}.") from error


class Counted(NamedTuple):
    """Distinct grams of texts: which text, which known gram (position in a block's `hashes`), 1 + ln of how often."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    frequencies: npt.NDArray[np.float64]


def count(found: Grams, known: Hashes) -> Counted:
    """Count the occurrences of `known` (ascending) grams; others are passed over."""
    width = max(len(known), 1)
    at = np.searchsorted(known, found.hashes)
    at[at == len(known)] = 0
    is_known = known[at] == found.hashes if len(known) else np.zeros(len(at), dtype=np.bool_)
    keys, times = np.unique(found.rows[is_known] * width + at[is_known], return_counts=True)
    return Counted(keys // width, keys % width, 1.0 + np.log(times))


def _dot(block: Block, found: Grams, n: int) -> npt.NDArray[np.float64]:
    counted = count(found, block.hashes)
    values = counted.frequencies * block.idf[counted.columns]
    lengths = np.sqrt(np.bincount(counted.rows, values * values, minlength=n))
    sums = np.bincount(counted.rows, values * block.weights[counted.columns], minlength=n)
    return np.divide(sums, lengths, out=np.zeros(n), where=lengths > 0)

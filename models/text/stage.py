"""The text stage: a linear model on TF-IDF n-grams and optionally a head on sentence vectors. It only needs NumPy."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.errors import ConfigurationError, ModelRefused
from models.text.head import EncoderHead, OutputHead, SentenceHead
from models.text.ngrams import Grams, Hashes, grams_in_parts
from models.text.sentence import CachedEncoder, Place, open_encoder

Floats = npt.NDArray[np.float32]
_BLOCKS = ("words", "chars")


class Block(NamedTuple):
    """One family of n-grams: hashes in ascending order, inverse document frequencies and weights, (grams,) each."""

    hashes: Hashes
    idf: Floats
    weights: Floats


class TextStage:
    """Computes log-odds of texts. Each block's TF-IDF vector, (1 + ln tf) · idf, is scaled to length one."""

    def __init__(
        self,
        words: Block,
        chars: Block,
        intercept: float,
        sentence: EncoderHead | None = None,
        encoder: CachedEncoder | None = None,
    ) -> None:
        self.words = words
        self.chars = chars
        self.intercept = intercept
        self.sentence = sentence
        self._encoder = encoder

    def log_odds(self, texts: Sequence[str | None]) -> Floats:
        """(n,) float32 log-odds of n texts; NaN for None and for texts whose plain form is empty."""
        out = np.full(len(texts), np.nan, dtype=np.float32)
        present = np.zeros(len(texts), dtype=np.bool_)
        for part, found in grams_in_parts([text or "" for text in texts]):
            n = part.stop - part.start
            # Every non-empty plain form has character n-grams.
            present[part] = np.bincount(found.chars.rows, minlength=n) > 0
            out[part] = _dot(self.words, found.words, n) + _dot(self.chars, found.chars, n) + self.intercept
        out[~present] = np.nan
        if self.sentence and self._encoder and present.any():
            vectors = self._encoder.encode([texts[i] or "" for i in np.flatnonzero(present).tolist()])
            out[present] += self.sentence.log_odds(vectors)
        return out

    @property
    def encoder_folder(self) -> Path | None:
        """The folder of the fine-tuned encoder that it needs; None if it needs none."""
        return self._encoder.folder if self._encoder is not None and self.sentence is not None else None

    def to_bytes(self) -> bytes:
        """NumPy's npz format, without pickle. Equal stages give equal bytes."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"intercept": np.array([self.intercept], dtype=np.float64)}
        for name, block in zip(_BLOCKS, (self.words, self.chars), strict=True):
            arrays |= {f"{name}.{part}": values for part, values in block._asdict().items()}
        if self.sentence:
            kind = "outputs" if isinstance(self.sentence, OutputHead) else "sentence"
            arrays |= {f"{kind}.{part}": np.asarray(values) for part, values in self.sentence._asdict().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(raw: bytes, place: Place | None = None) -> TextStage:
        """Parse a text stage.

        Args:
            place: where the sentence encoder is, for a stage that needs one.

        Raises:
            ModelRefused: the bytes hold no text stage, or the encoder that it needs isn't installed.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                words, chars = (Block(*(arrays[f"{name}.{part}"] for part in Block._fields)) for name in _BLOCKS)
                intercept = float(arrays["intercept"][0])
                head: EncoderHead
                if "sentence.weights" in arrays:
                    parts = (arrays[f"sentence.{part}"] for part in SentenceHead._fields[1:])
                    head = SentenceHead(str(arrays["sentence.encoder"]), *parts)
                elif "outputs.weights" in arrays:
                    head = OutputHead(str(arrays["outputs.encoder"]), arrays["outputs.weights"])
                else:
                    return TextStage(words, chars, intercept)
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ModelRefused(f"text.npz is invalid: {error}.") from error
        return TextStage(words, chars, intercept, head, _encoder(head, place or Place()))


def encoder_named_in(raw: bytes) -> str | None:
    """The version of the encoder that a text stage needs; None if it needs none, or the bytes hold no text stage."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            return next((str(arrays[name]) for name in ("sentence.encoder", "outputs.encoder") if name in arrays), None)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return None


def _encoder(head: EncoderHead, place: Place) -> CachedEncoder:
    try:
        encoder = open_encoder(place, head.encoder)
    except ConfigurationError as error:
        raise ModelRefused(f"The text stage needs the sentence encoder {head.encoder}: {error}") from error
    if encoder.version != head.encoder:
        raise ModelRefused(
            f"The text stage was trained with the sentence encoder {head.encoder}, but {encoder.version} is installed.",
            field="LEADS_ENCODER_DIR",
            remedy="Install the encoder that it was trained with, or train the harm again.",
        )
    return encoder


class Counted(NamedTuple):
    """Distinct known n-grams of texts: text, position in a block's `hashes`, and 1 + ln of the count, (pairs,) each."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    frequencies: npt.NDArray[np.float64]


def count(found: Grams, known: Hashes) -> Counted:
    """Count the occurrences of `known` n-grams, given as ascending hashes. Others are ignored."""
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

